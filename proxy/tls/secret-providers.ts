/** Where named secrets come from: the bootstrap, files, SDS over xDS, the workload's own identity. */
import { readFileSync } from "node:fs";
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { Runtime } from "#lib/runtime.ts";
import { MessageReader } from "#protos/reader.ts";
import type { Secret as SecretMessage } from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js";
import { rootCertificates } from "./node-roots.ts";
import { TypeUrl, type XdsClient } from "../xds/types.ts";
import { readText } from "./data-source.ts";
import { parseCertificateFiles } from "./tls-context.ts";
import type { Secret, SecretProvider, SecretSource } from "./types.ts";
import { parseValidationContext } from "./validation-context.ts";

/** A `Secret` resource → a secret; files that it names are read now. */
export function parseSecret(message: Message, path = ""): Parsed<Secret> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as SecretMessage, path, problems);
  reader.ignore("name", "the subscription names it");
  const type = reader.get("type");
  reader.finish();
  let value: Secret | undefined;
  try {
    if (type.case === "tlsCertificate") {
      const files = parseCertificateFiles(new MessageReader(type.value, reader.at("type"), problems));
      if (files !== undefined)
        value = {
          kind: "certificate",
          certificateChain: readText(files.certificateChain),
          privateKey: readText(files.privateKey),
          ...(files.password === undefined ? {} : { password: readText(files.password) }),
        };
    } else if (type.case === "validationContext") {
      const context = parseValidationContext(new MessageReader(type.value, reader.at("type"), problems));
      value = {
        kind: "validation",
        trustedCa:
          context.trustedCa === "system"
            ? rootCertificates()
            : context.trustedCa === undefined
              ? ""
              : readText(context.trustedCa),
        crl: context.crl === undefined ? undefined : readText(context.crl),
        rules: context.rules,
        ...(context.trustDomains === undefined ? {} : { trustDomains: context.trustDomains }),
      };
    } else reader.unsupported("type");
  } catch (error) {
    reader.invalid("type", error instanceof Error ? error.message : String(error));
  }
  return problems.length > 0 ? { problems } : { value, problems };
}

/** Secrets of the bootstrap's `static_resources.secrets`: there for good. */
export function staticSecrets(secrets: ReadonlyMap<string, Secret>): SecretProvider {
  return {
    subscribe(name, onUpdate) {
      const secret = secrets.get(name);
      if (secret !== undefined) onUpdate(secret);
      return { close() {} };
    },
  };
}

/** Secrets over SDS. A resource that is refused leaves the last good one in force; the watch's problems are its NACK. */
export function sdsSecrets(client: XdsClient): SecretProvider {
  return {
    subscribe(name, onUpdate, _source, wait) {
      return client.resource(
        TypeUrl.secret,
        name,
        {
          onResource({ message }) {
            const { value, problems } = parseSecret(message);
            if (value !== undefined) onUpdate(value);
            return problems;
          },
          // Envoy keeps a certificate that it has; what never had one goes on without.
          onAbsent: () => wait?.onGivenUp(),
        },
        wait?.timeoutMs ?? 0,
      );
    },
  };
}

export interface SecretOrigins {
  readonly fixed: SecretProvider;
  /** The provider for secrets over ADS. */
  readonly ads?: SecretProvider | undefined;
  /** The provider for secrets from a gRPC cluster (the workload's identity, or an SDS server); undefined: no such cluster. */
  grpc?(cluster: string): SecretProvider | undefined;
  /** The provider for secrets in a file (`path_config_source`). */
  path?(path: string): SecretProvider | undefined;
}

/** Composes providers: each secret is asked of the origin that its configuration names. */
export function composeSecrets(runtime: Runtime, origins: SecretOrigins): SecretProvider {
  const log = runtime.log.child("secret");
  const pick = (source: SecretSource): SecretProvider | undefined => {
    switch (source.kind) {
      case "static":
        return origins.fixed;
      case "ads":
        return origins.ads;
      case "grpc":
        return origins.grpc?.(source.cluster);
      case "path":
        return origins.path?.(source.path);
    }
  };
  return {
    subscribe(name, onUpdate, source = { kind: "static" }, wait) {
      const provider = pick(source);
      if (provider !== undefined) return provider.subscribe(name, onUpdate, source, wait);
      log.warning(`no provider for secret '${name}'`, { source: source.kind });
      return { close() {} };
    },
  };
}

/** How often a file is looked at. */
const POLL_MS = 1000;

/**
 * Reads files again and again and calls back when the content of one has changed. A file that can't be read for a
 * moment (it is being replaced) keeps its last content.
 */
export function watchFiles(runtime: Runtime, paths: readonly string[], onChange: () => void): { close(): void } {
  if (paths.length === 0) return { close() {} };
  const read = (path: string): string | undefined => {
    try {
      return readFileSync(path, "utf8");
    } catch {
      return undefined;
    }
  };
  let last = paths.map(read);
  const look = (): void => {
    const now = paths.map((path, index) => read(path) ?? last[index]);
    const isChanged = now.some((text, index) => text !== last[index]);
    last = now;
    timer = runtime.clock.wheel.schedule(POLL_MS, look);
    if (isChanged) onChange();
  };
  let timer = runtime.clock.wheel.schedule(POLL_MS, look);
  return { close: () => timer.cancel() };
}
