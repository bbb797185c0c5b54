/** What one SDS stream has asked for and been told: pure, for state-of-the-world and delta alike. */
import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import type { Secret as SecretMessage } from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/secret_pb.js";
import type { SPIFFECertValidatorConfig } from "#protos/gen/envoy/extensions/transport_sockets/tls/v3/tls_spiffe_validator_config_pb.js";
import type { TrustDomains } from "#proxy/tls/trust-domains.ts";
import { createMessage, schema } from "#protos/registry.ts";
import type { Secret } from "#proxy/tls/types.ts";

const SPIFFE_VALIDATOR = "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";
const SECRET = "envoy.extensions.transport_sockets.tls.v3.Secret";

/** A secret as it goes over the wire. */
export interface EncodedSecret {
  readonly name: string;
  /** By content. */
  readonly version: string;
  readonly bytes: Uint8Array;
}

export function encodeSecret(name: string, secret: Secret): EncodedSecret {
  const inline = (text: string) => ({
    specifier: { case: "inlineBytes" as const, value: new Uint8Array(Buffer.from(text)) },
  });
  const message = createMessage<SecretMessage>(SECRET, {
    name,
    type:
      secret.kind === "certificate"
        ? {
            case: "tlsCertificate",
            value: { certificateChain: inline(secret.certificateChain), privateKey: inline(secret.privateKey) },
          }
        : {
            case: "validationContext",
            value: {
              trustedCa: inline(secret.trustedCa),
              ...(secret.crl === undefined ? {} : { crl: inline(secret.crl) }),
              ...(secret.trustDomains === undefined || secret.crl !== undefined
                ? {}
                : { customValidatorConfig: spiffeValidator(secret.trustDomains) }),
            },
          },
  });
  const bytes = toBinary(schema<SecretMessage>(SECRET), message);
  // A hash of the whole: it says nothing about the key, and is shown on admin pages.
  return { name, version: createHash("sha256").update(bytes).digest("hex").slice(0, 16), bytes };
}

/**
 * Envoy's validator of SPIFFE IDs by trust domain. It reads no revocation lists: where there are such, Envoy gets those and
 * trusts its own domain only.
 */
function spiffeValidator(trustDomains: TrustDomains): {
  readonly name: string;
  readonly typedConfig: { readonly typeUrl: string; readonly value: Uint8Array };
} {
  const config = createMessage<SPIFFECertValidatorConfig>(SPIFFE_VALIDATOR, {
    trustDomains: [...trustDomains]
      // Envoy takes no empty bundle; a domain without one is as unknown to it.
      .filter(([, pem]) => pem !== "")
      .map(([name, pem]) => ({
        name,
        trustBundle: { specifier: { case: "inlineString" as const, value: pem } },
      })),
  });
  const value = toBinary(schema<SPIFFECertValidatorConfig>(SPIFFE_VALIDATOR), config);
  return {
    name: "envoy.tls.cert_validator.spiffe",
    typedConfig: { typeUrl: `type.googleapis.com/${SPIFFE_VALIDATOR}`, value },
  };
}

/** What to send; undefined when there is nothing new. */
export interface SecretResponse {
  readonly secrets: readonly EncodedSecret[];
  /** Delta only: names that do not exist here. */
  readonly removed: readonly string[];
  readonly version: string;
  readonly nonce: string;
}

export class SecretSubscription {
  readonly #mode: "delta" | "sotw";
  readonly #wanted = new Set<string>();
  readonly #known = new Map<string, EncodedSecret>();
  /** Versions that the client was sent, or said that it has. */
  readonly #sent = new Map<string, string>();
  readonly #refused = new Set<string>();
  #responses = 0;

  constructor(mode: "delta" | "sotw") {
    this.#mode = mode;
  }

  get names(): ReadonlySet<string> {
    return this.#wanted;
  }

  /** The names of the first or a changed state-of-the-world request. */
  setNames(names: readonly string[]): void {
    for (const name of this.#wanted) if (!names.includes(name)) this.remove(name);
    for (const name of names) this.#wanted.add(name);
  }

  /** A name that is asked for again is sent again. */
  add(name: string): void {
    this.#wanted.add(name);
    this.#sent.delete(name);
    this.#refused.delete(name);
  }

  remove(name: string): void {
    this.#wanted.delete(name);
    this.#known.delete(name);
    this.#sent.delete(name);
    this.#refused.delete(name);
  }

  /** A client that comes back says what it has. */
  setInitialVersions(versions: Readonly<Record<string, string>>): void {
    for (const [name, version] of Object.entries(versions)) this.#sent.set(name, version);
  }

  update(secret: EncodedSecret): void {
    if (this.#wanted.has(secret.name)) this.#known.set(secret.name, secret);
  }

  /** The next response, with everything that the client lacks; `serves` says which names exist at all. */
  next(serves: (name: string) => boolean): SecretResponse | undefined {
    const changed = [...this.#known.values()].filter(({ name, version }) => this.#sent.get(name) !== version);
    const removed =
      this.#mode === "delta" ? [...this.#wanted].filter((name) => !serves(name) && !this.#refused.has(name)) : [];
    if (changed.length === 0 && removed.length === 0) return undefined;
    for (const { name, version } of changed) this.#sent.set(name, version);
    for (const name of removed) this.#refused.add(name);
    // The state of the world is always the whole of it.
    const secrets = this.#mode === "sotw" ? [...this.#known.values()] : changed;
    const versions = [...this.#known.values()]
      .map(({ name, version }) => `${name}=${version}`)
      .sort()
      .join(",");
    const version = createHash("sha256").update(versions).digest("hex").slice(0, 16);
    return { secrets, removed, version, nonce: String(++this.#responses) };
  }
}
