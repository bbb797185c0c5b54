/** TLS of the control plane's own ports: a certificate from its own CA, renewed while it serves. */
import { experimental, type ServerCredentials } from "@grpc/grpc-js";
import type { CertificateAuthority, ServerNames } from "#certs/certificate-authority.ts";
import { createKeyPair, privateKeyToPem } from "#certs/keys.ts";
import { type Expiring, type Rotation, startRotation } from "#certs/rotation.ts";
import type { RotationPolicy } from "#certs/rotation-schedule.ts";
import type { Runtime } from "#lib/runtime.ts";

/** The names under which proxies find istiod, and those of a control plane on this machine. */
export const CONTROL_PLANE_NAMES: ServerNames = {
  dnsNames: [
    "istiod.istio-system.svc",
    "istiod.istio-system.svc.cluster.local",
    "istiod.istio-system",
    "istiod",
    "localhost",
  ],
  ipAddresses: ["127.0.0.1", "::1"],
};

export interface ServerCredentialsOptions {
  readonly runtime: Runtime;
  readonly authority: () => CertificateAuthority;
  /** Default: `CONTROL_PLANE_NAMES`. */
  readonly names?: ServerNames | undefined;
  /** Default: the authority's. */
  readonly ttlMs?: number | undefined;
  readonly policy?: Partial<RotationPolicy> | undefined;
}

export interface RotatingServerCredentials {
  /** For `server.bindAsync`. Client certificates are asked for, not demanded; who must have one is decided by call. */
  readonly credentials: ServerCredentials;
  /** When the certificate in use ends, ms since the epoch. */
  readonly expiresAtMs: number;
  /** Gets a certificate of the authority's present signer, and checks clients by its present roots. */
  renewNow(): void;
  close(): void;
}

interface ServingCertificate extends Expiring {
  readonly certificate: Buffer;
  readonly privateKey: Buffer;
  readonly roots: Buffer;
}

type Provider = Parameters<typeof experimental.createCertificateProviderServerCredentials>[0];
type IdentityListener = Parameters<Provider["addIdentityCertificateListener"]>[0];
type RootsListener = Parameters<Provider["addCaCertificateListener"]>[0];

/** Credentials that are ready to serve. Rejects when the authority cannot sign. New connections see new certificates; open ones stay. */
export async function createServerCredentials(options: ServerCredentialsOptions): Promise<RotatingServerCredentials> {
  const { runtime, authority, names = CONTROL_PLANE_NAMES, ttlMs, policy } = options;
  const log = runtime.log.child("ca");
  const identityListeners = new Set<IdentityListener>();
  const rootsListeners = new Set<RootsListener>();
  let rotation: Rotation<ServingCertificate> | undefined;

  async function issue(): Promise<ServingCertificate> {
    const { publicKey, privateKey } = await createKeyPair("ECDSA_P256");
    const publicKeyDer = publicKey.export({ type: "spki", format: "der" });
    const { chain, notAfterMs } = authority().signServer({ publicKey, publicKeyDer }, names, ttlMs);
    return {
      // Without the root, which the client has.
      certificate: Buffer.from(chain.slice(0, -1).join("")),
      privateKey: Buffer.from(privateKeyToPem(privateKey)),
      roots: Buffer.from(authority().rootsPem),
      notAfterMs,
    };
  }

  await new Promise<void>((resolve, reject) => {
    rotation = startRotation({
      clock: runtime.clock,
      random: runtime.random,
      policy,
      renew: issue,
      onRenewed: (current) => {
        for (const listener of rootsListeners) listener({ caCertificate: current.roots });
        for (const listener of identityListeners) listener(current);
        resolve();
      },
      onFailure: ({ error, remainingMs }) => {
        const reason = error instanceof Error ? error : new Error(String(error));
        log.error(`cannot renew the control plane's own certificate: ${reason.message}`, { remainingMs });
        reject(reason);
      },
    });
  }).catch((error: unknown) => {
    rotation?.close();
    throw error;
  });

  const provider: Provider = {
    addIdentityCertificateListener: (listener) => {
      identityListeners.add(listener);
      soon(() => listener(rotation?.current ?? null));
    },
    removeIdentityCertificateListener: (listener) => void identityListeners.delete(listener),
    addCaCertificateListener: (listener) => {
      rootsListeners.add(listener);
      soon(() => listener(rotation?.current === undefined ? null : { caCertificate: rotation.current.roots }));
    },
    removeCaCertificateListener: (listener) => void rootsListeners.delete(listener),
  };
  return {
    credentials: experimental.createCertificateProviderServerCredentials(provider, provider, false),
    get expiresAtMs() {
      return rotation?.current?.notAfterMs ?? 0;
    },
    renewNow: () => rotation?.renewNow(),
    close: () => rotation?.close(),
  };
}

/** grpc-js adds its own watcher only after it has registered here: told at once, nobody would hear. */
function soon(tell: () => void): void {
  queueMicrotask(tell);
}
