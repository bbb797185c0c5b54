/** The two secrets of a workload under Istio's SDS names, and who wants to hear of them. */
import type { Logger } from "#lib/runtime.ts";
import type { Secret, SecretProvider, TlsCertificateSecret, ValidationSecret } from "#proxy/tls/types.ts";

/** The workload's certificate, and the roots that peers are checked against. */
const CERTIFICATE_NAME = "default";
const ROOTS_NAME = "ROOTCA";

export interface OwnSecrets {
  readonly serves: (name: string) => boolean;
  readonly subscribe: SecretProvider["subscribe"];
  /** To be called first where both are new: a peer that already has a certificate of a new root must be understood. */
  setRoots(roots: ValidationSecret): void;
  setCertificate(certificate: TlsCertificateSecret): void;
  close(): void;
}

export function createOwnSecrets(log: Logger): OwnSecrets {
  const subscribers = new Map<string, Set<(secret: Secret) => void>>([
    [CERTIFICATE_NAME, new Set()],
    [ROOTS_NAME, new Set()],
  ]);
  const known = new Map<string, Secret>();

  function set(name: string, secret: Secret): void {
    known.set(name, secret);
    for (const hear of subscribers.get(name) ?? []) hear(secret);
  }

  return {
    serves: (name) => subscribers.has(name),
    subscribe(name, onUpdate) {
      const hearers = subscribers.get(name);
      if (hearers === undefined) {
        // As with a server that never answers: who asked stays without, but the log says why.
        const names = [...subscribers.keys()].join(" and ");
        log.error(`secret ${JSON.stringify(name)} will never come: the workload identity serves ${names}`);
        return { close: () => {} };
      }
      // One entry a subscription, though two may share a function.
      const hear = (secret: Secret): void => onUpdate(secret);
      hearers.add(hear);
      const secret = known.get(name);
      if (secret !== undefined) hear(secret);
      return { close: () => void hearers.delete(hear) };
    },
    setRoots(roots) {
      const before = known.get(ROOTS_NAME);
      if (before?.kind !== "validation" || markOf(before) !== markOf(roots)) set(ROOTS_NAME, roots);
    },
    setCertificate: (certificate) => set(CERTIFICATE_NAME, certificate),
    close: () => {
      for (const hearers of subscribers.values()) hearers.clear();
    },
  };
}

function markOf({ trustedCa, crl, trustDomains }: ValidationSecret): string {
  return JSON.stringify([trustedCa, crl, [...(trustDomains ?? [])]]);
}
