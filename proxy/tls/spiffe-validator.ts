/** `envoy.tls.cert_validator.spiffe`: roots by trust domain from a `custom_validator_config`. */
import { trustDomainProblem } from "#certs/spiffe-id.ts";
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { TypedExtensionConfig } from "#protos/gen/envoy/config/core/v3/extension_pb.js";
import type { SPIFFECertValidatorConfig } from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js";
import { parseDataSource, readText } from "./data-source.ts";
import { TrustDomainValidator, type TrustDomains } from "./trust-domains.ts";

const CONFIG = "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";

/** Undefined, with a problem, for any other validator. Files are read once, as Envoy reads them. */
export function parseSpiffeValidator(reader: MessageReader<TypedExtensionConfig>): TrustDomains | undefined {
  const { problems } = reader;
  const name = reader.get("name");
  const typed = reader.get("typedConfig");
  reader.finish();
  const opened = typed === undefined ? undefined : unpackAny(typed, reader.at("typedConfig"));
  problems.push(...(opened?.problems ?? []));
  if (opened?.value?.$typeName !== CONFIG) {
    if (problems.length === 0) {
      const message = `the validator '${name}' is not supported; envoy.tls.cert_validator.spiffe is`;
      problems.push({ code: "unsupported-field", level: "error", path: reader.path, message });
    }
    return undefined;
  }
  const config = new MessageReader(opened.value as SPIFFECertValidatorConfig, reader.at("typedConfig"), problems);
  const found = new Map<string, string>();
  const domains = config.children("trustDomains");
  for (const domain of domains) {
    const trustDomain = domain.get("name");
    const source = parseDataSource(domain.child("trustBundle"));
    domain.finish();
    const wrong = trustDomainProblem(trustDomain);
    if (wrong !== undefined) domain.invalid("name", wrong);
    if (found.has(trustDomain))
      domain.invalid("name", `Multiple trust bundles are given for one trust domain for ${trustDomain}`);
    try {
      if (source === undefined) throw new Error("a trust domain needs its trust bundle");
      const pem = readText(source);
      if (!pem.includes("-----BEGIN")) throw new Error("it has no certificate in PEM");
      void new TrustDomainValidator(new Map([[trustDomain, pem]]));
      found.set(trustDomain, pem);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      domain.invalid("trustBundle", `Failed to load trusted CA certificate for ${trustDomain}: ${why}`);
    }
  }
  config.finish();
  if (domains.length === 0) config.invalid("trustDomains", "at least one trust domain must be given");
  return found;
}
