/** What a TLS context works with at this moment: certificates and trust, put together from files and secrets. */
import { createHash } from "node:crypto";
import type { Runtime } from "#lib/runtime.ts";
import { readText, type TextSource } from "./data-source.ts";
import { rootCertificates } from "./node-roots.ts";
import { watchFiles } from "./secret-providers.ts";
import type { CommonContext, CertificateSource, SecretReference } from "./tls-context.ts";
import { TrustDomainValidator } from "./trust-domains.ts";
import type { Secret, SecretProvider, TlsCertificateSecret, ValidationRules, ValidationSecret } from "./types.ts";
import { mergeRules, NO_RULES } from "./validation-context.ts";

export interface Trust {
  /** PEM; undefined: no chain is verified. */
  readonly trustedCa: string | undefined;
  readonly crl: string | undefined;
  readonly rules: ValidationRules;
  /** Undefined: whatever chains to `trustedCa` is believed. */
  readonly trustDomains?: TrustDomainValidator | undefined;
}

/** Whether anything stands behind a peer's certificate: a CA, or pinned hashes. */
export function verifiesPeers({ trustedCa, rules }: Trust): boolean {
  return trustedCa !== undefined || rules.certificateHashes.length + rules.spkiHashes.length > 0;
}

/** Immutable: a rotation makes a new one. */
export interface TlsMaterial {
  readonly certificates: readonly TlsCertificateSecret[];
  /** Undefined: the peer is not asked for a certificate. */
  readonly trust: Trust | undefined;
  /** Of everything in it. */
  readonly digest: string;
}

/**
 * Follows the sources of one TLS context. `current` is undefined while a secret is missing; `onGivenUp` comes when all
 * that are missing have been waited for.
 */
export class MaterialSource {
  current: TlsMaterial | undefined = undefined;
  readonly #context: CommonContext;
  readonly #onChange: (material: TlsMaterial, isFirst: boolean) => void;
  readonly #onGivenUp: () => void;
  /** Secrets that neither came nor were given up. */
  readonly #awaited = new Set<object>();
  #isStarting = true;
  readonly #certificates: (TlsCertificateSecret | undefined)[];
  #validation: ValidationSecret | undefined = undefined;
  readonly #subscriptions: { close(): void }[] = [];

  /** Throws an error that names the file when one can't be read. */
  constructor(
    runtime: Runtime,
    secrets: SecretProvider,
    context: CommonContext,
    onChange: (material: TlsMaterial, isFirst: boolean) => void,
    onGivenUp: () => void,
  ) {
    this.#context = context;
    this.#onChange = onChange;
    this.#onGivenUp = onGivenUp;
    this.#certificates = context.certificates.map((source) => certificateOf(source));
    const { validation, validationSecret } = context;
    // The first look at what is missing comes after all subscriptions: some call back at once.
    const update = (): void => {
      if (!this.#isStarting) this.#update();
    };
    for (const [index, source] of context.certificates.entries())
      if (source.kind === "secret")
        this.#follow(secrets, source.secret, (secret) => {
          if (secret.kind === "certificate") this.#certificates[index] = secret;
          update();
        });
    if (validationSecret !== undefined)
      this.#follow(secrets, validationSecret, (secret) => {
        if (secret.kind === "validation") this.#validation = secret;
        update();
      });
    this.#isStarting = false;
    this.#update();
    this.#settle();
    const files = [
      ...context.certificates.flatMap((source) =>
        source.kind === "files" ? [source.files.certificateChain, source.files.privateKey] : [],
      ),
      ...(validation?.trustedCa === undefined || validation.trustedCa === "system" ? [] : [validation.trustedCa]),
      ...(validation?.crl === undefined ? [] : [validation.crl]),
    ];
    const paths = files.flatMap((file: TextSource) => (file.kind === "file" ? [file.path] : []));
    this.#subscriptions.push(watchFiles(runtime, paths, () => this.#reread()));
  }

  close(): void {
    for (const subscription of this.#subscriptions.splice(0)) subscription.close();
  }

  #follow(
    secrets: SecretProvider,
    reference: SecretReference,
    onUpdate: Parameters<SecretProvider["subscribe"]>[1],
  ): void {
    const { name, source, initialFetchTimeoutMs: timeoutMs } = reference;
    this.#awaited.add(reference);
    const settled = (): void => {
      if (this.#awaited.delete(reference)) this.#settle();
    };
    const onSecret = (secret: Secret): void => {
      onUpdate(secret);
      settled();
    };
    this.#subscriptions.push(secrets.subscribe(name, onSecret, source, { timeoutMs, onGivenUp: settled }));
  }

  /** What was waited for has come or has been given up: without something of it nothing can be put together. */
  #settle(): void {
    const isLacking = this.#awaited.size === 0 && this.#isLacking();
    if (isLacking && !this.#isStarting) this.#onGivenUp();
  }

  #isLacking(): boolean {
    return (
      this.#certificates.includes(undefined) ||
      (this.#context.validationSecret !== undefined && this.#validation === undefined)
    );
  }

  #reread(): void {
    try {
      for (const [index, source] of this.#context.certificates.entries())
        if (source.kind === "files") this.#certificates[index] = certificateOf(source);
      this.#update();
    } catch {
      // Half of a pair has been replaced: the next look finds the other.
    }
  }

  #update(): void {
    if (this.#isLacking()) return;
    const certificates = this.#certificates.filter((secret) => secret !== undefined);
    const trust = this.#trust();
    const digest = digestOf(certificates, trust, this.#validation);
    if (digest === this.current?.digest) return;
    const isFirst = this.current === undefined;
    this.current = { certificates, trust, digest };
    this.#onChange(this.current, isFirst);
  }

  #trust(): Trust | undefined {
    const { validation } = this.#context;
    const secret = this.#validation;
    if (validation === undefined && secret === undefined) return undefined;
    const own =
      validation?.trustedCa === undefined
        ? undefined
        : validation.trustedCa === "system"
          ? rootCertificates()
          : readText(validation.trustedCa);
    const domains = secret?.trustDomains ?? validation?.trustDomains;
    return {
      trustedCa: domains === undefined ? (nonEmpty(secret?.trustedCa) ?? own) : [...domains.values()].join("\n"),
      ...(domains === undefined ? {} : { trustDomains: new TrustDomainValidator(domains) }),
      crl: nonEmpty(secret?.crl) ?? (validation?.crl === undefined ? undefined : readText(validation.crl)),
      rules: mergeRules(validation?.rules ?? NO_RULES, secret?.rules),
    };
  }
}

function certificateOf(source: CertificateSource): TlsCertificateSecret | undefined {
  if (source.kind === "secret") return undefined;
  const { certificateChain, privateKey, password } = source.files;
  return {
    kind: "certificate",
    certificateChain: readText(certificateChain),
    privateKey: readText(privateKey),
    ...(password === undefined ? {} : { password: readText(password) }),
  };
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

function digestOf(
  certificates: readonly TlsCertificateSecret[],
  trust: Trust | undefined,
  secret: ValidationSecret | undefined,
): string {
  const hash = createHash("sha256");
  for (const { certificateChain, privateKey } of certificates) hash.update(certificateChain).update(privateKey);
  hash
    .update("\0")
    .update(trust?.trustedCa ?? "")
    .update("\0")
    .update(trust?.crl ?? "")
    .update(JSON.stringify([...(secret?.trustDomains ?? [])]));
  const { certificateHashes = [], spkiHashes = [], sanMatchers = [] } = trust?.rules ?? {};
  hash.update(
    JSON.stringify([certificateHashes, spkiHashes, sanMatchers.map(({ type, pattern }) => `${type} ${pattern}`)]),
  );
  return hash.digest("hex");
}
