/** What a TLS context works with at this moment: certificates and trust, put together from files and secrets. */
import { createHash } from "node:crypto";
import type { Runtime } from "#lib/runtime.ts";
import { readText, type TextSource } from "./data-source.ts";
import { rootCertificates } from "./node-roots.ts";
import { watchFiles } from "./secret-providers.ts";
import type { CommonContext, CertificateSource, SecretReference } from "./tls-context.ts";
import type { SecretProvider, TlsCertificateSecret, ValidationRules, ValidationSecret } from "./types.ts";
import { mergeRules, NO_RULES } from "./validation-context.ts";

export interface Trust {
  /** PEM; undefined: no chain is verified. */
  readonly trustedCa: string | undefined;
  readonly crl: string | undefined;
  readonly rules: ValidationRules;
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

/** Follows the sources of one TLS context. `current` is undefined while a secret is missing. */
export class MaterialSource {
  current: TlsMaterial | undefined = undefined;
  readonly #context: CommonContext;
  readonly #onChange: (material: TlsMaterial, isFirst: boolean) => void;
  readonly #certificates: (TlsCertificateSecret | undefined)[];
  #validation: ValidationSecret | undefined = undefined;
  readonly #subscriptions: { close(): void }[] = [];

  /** Throws an error that names the file when one can't be read. */
  constructor(
    runtime: Runtime,
    secrets: SecretProvider,
    context: CommonContext,
    onChange: (material: TlsMaterial, isFirst: boolean) => void,
  ) {
    this.#context = context;
    this.#onChange = onChange;
    this.#certificates = context.certificates.map((source) => certificateOf(source));
    const { validation, validationSecret } = context;
    // The first look at what is missing comes after all subscriptions: some call back at once.
    let isStarting = true;
    const update = (): void => {
      if (!isStarting) this.#update();
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
    isStarting = false;
    this.#update();
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
    { name, source }: SecretReference,
    onUpdate: Parameters<SecretProvider["subscribe"]>[1],
  ): void {
    this.#subscriptions.push(secrets.subscribe(name, onUpdate, source));
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
    const certificates = this.#certificates.filter((secret) => secret !== undefined);
    if (certificates.length < this.#certificates.length) return;
    if (this.#context.validationSecret !== undefined && this.#validation === undefined) return;
    const trust = this.#trust();
    const digest = digestOf(certificates, trust);
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
    return {
      trustedCa: nonEmpty(secret?.trustedCa) ?? own,
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

function digestOf(certificates: readonly TlsCertificateSecret[], trust: Trust | undefined): string {
  const hash = createHash("sha256");
  for (const { certificateChain, privateKey } of certificates) hash.update(certificateChain).update(privateKey);
  hash
    .update("\0")
    .update(trust?.trustedCa ?? "")
    .update("\0")
    .update(trust?.crl ?? "");
  const { certificateHashes = [], spkiHashes = [], sanMatchers = [] } = trust?.rules ?? {};
  hash.update(
    JSON.stringify([certificateHashes, spkiHashes, sanMatchers.map(({ type, pattern }) => `${type} ${pattern}`)]),
  );
  return hash.digest("hex");
}
