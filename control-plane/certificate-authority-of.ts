/** The control plane's certificate authority and who may ask it: from files that are kept between starts, and followed. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  openPluggedInAuthority,
  openSelfSignedRoot,
  type OpenedMaterial,
  PLUGGED_IN_FILES,
  readSelfSignedRoot,
  SELF_SIGNED_FILES,
} from "#certs/ca-files.ts";
import type { CertificateAuthority } from "#certs/certificate-authority.ts";
import { readTextFile } from "#certs/private-files.ts";
import { followAuthority } from "#certs/followed-authority.ts";
import { MeshError, type Problem } from "#lib/problem.ts";
import type { Runtime, Timer } from "#lib/runtime.ts";
import type { Authenticator } from "./ca/authenticator.ts";
import { clientCertificateAuthenticator } from "./ca/client-certificate-authenticator.ts";
import { tokenAuthenticator } from "./ca/token-authenticator.ts";
import { followIssuer, type RemoteIssuer } from "./ca/remote-issuer.ts";
import { CA_AUDIENCE, keysFromFile, openTokenIssuer } from "./ca/token-issuer.ts";
import { tokenReviewAuthenticator } from "./ca/token-review-authenticator.ts";
import { createFetchText } from "./jwks/fetch-text.ts";

export interface AuthorityFiles {
  /** Root and token key; made when they are not there. */
  readonly stateDirectory: string;
  /** A plugged-in CA in Istio's layout, in place of the self-signed root. */
  readonly caCertsDirectory?: string | undefined;
  readonly trustDomain: string;
  readonly workloadCertTtlMs?: number | undefined;
  /** Who else may say who a workload is. */
  readonly tokens?: TokenSources | undefined;
  /** How long each step of a change of roots is in force (15 s). */
  readonly overlapMs?: number | undefined;
  /** Another signer, other roots or other problems. */
  readonly onChange: () => void;
}

export interface TokenSources {
  /** OpenID Connect issuers beside our own. */
  readonly issuers: readonly string[];
  /** PEM file of the roots that issuers are checked against; undefined: the system's. */
  readonly issuerCaFile?: string | undefined;
  /** Default: `istio-ca`. */
  readonly audiences: readonly string[];
  /** A Kubernetes API server that is asked about tokens. */
  readonly review?: { readonly url: string; readonly caFile: string; readonly tokenFile: string } | undefined;
  /** Networks that are never asked for keys, and how often keys are fetched. */
  readonly blockedCidrs: readonly string[];
  readonly refreshMs?: number | undefined;
}

export interface OpenedAuthority {
  /** What signs now. */
  readonly authority: () => CertificateAuthority;
  readonly authenticators: readonly Authenticator[];
  /** What is wrong with the files now; a set that can't be used is told here while the one before signs. */
  readonly problems: () => readonly Problem[];
  close(): Promise<void>;
}

const LOOK_MS = 1000;

/** Throws a MeshError that names the file that can't be used. */
export async function openAuthority(runtime: Runtime, files: AuthorityFiles): Promise<OpenedAuthority> {
  const { clock } = runtime;
  const log = runtime.log.child("ca");
  const { stateDirectory, caCertsDirectory, trustDomain, workloadCertTtlMs, overlapMs, onChange } = files;
  const directory = caCertsDirectory ?? stateDirectory;
  const read = (): OpenedMaterial =>
    caCertsDirectory === undefined
      ? readSelfSignedRoot(stateDirectory, trustDomain, clock.now())
      : openPluggedInAuthority(caCertsDirectory, clock.now());
  const audiences =
    files.tokens === undefined || files.tokens.audiences.length === 0 ? [CA_AUDIENCE] : files.tokens.audiences;
  const review =
    files.tokens?.review === undefined
      ? undefined
      : tokenReviewAuthenticator({ ...files.tokens.review, audiences, trustDomain });
  const elsewhere = openTokenSources(runtime, files.tokens);
  let { material, problems } =
    caCertsDirectory === undefined ? await openSelfSignedRoot(stateDirectory, trustDomain, clock.now()) : read();
  const followed = followAuthority({
    clock,
    material,
    defaultTtlMs: workloadCertTtlMs,
    overlapMs,
    onChange: ({ roots, signer }) => {
      log.info(`the CA signs with ${signer.slice(0, 16)}, ${roots.length} roots are trusted`);
      onChange();
    },
  });

  let seen = contentOf(directory, caCertsDirectory === undefined ? SELF_SIGNED_FILES : PLUGGED_IN_FILES);
  let pending: string | undefined;
  let timer: Timer = clock.setTimer(LOOK_MS, look);

  /** Files are replaced one after the other: a set counts when it has been the same for two looks. */
  function look(): void {
    timer = clock.setTimer(LOOK_MS, look);
    const content = contentOf(directory, caCertsDirectory === undefined ? SELF_SIGNED_FILES : PLUGGED_IN_FILES);
    if (content === seen) {
      pending = undefined;
      return;
    }
    if (content !== pending) {
      pending = content;
      return;
    }
    seen = content;
    take();
  }

  function take(): void {
    try {
      ({ material, problems } = read());
      log.info(`the CA's files in ${directory} have changed`);
      followed.replace(material);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const code = error instanceof MeshError ? error.code : "ca-files-unusable";
      log.error(`${directory} has changed and can't be used; the CA goes on with what it had: ${message}`);
      problems = [{ code, level: "error", path: "", message }];
    }
    onChange();
  }

  const { issuer } = await openTokenIssuer(stateDirectory, clock);
  const keys = keysFromFile(join(stateDirectory, "token-jwks.json"));
  return {
    authority: () => followed.current,
    problems: () => problems,
    close: async () => {
      timer.cancel();
      followed.close();
      await elsewhere.close();
      await review?.close();
    },
    authenticators: [
      clientCertificateAuthenticator({ clock, trustDomain, crl: () => followed.current.crl }),
      tokenAuthenticator({ clock, trustDomain, issuers: [{ issuer, keys }, ...elsewhere.issuers], audiences }),
      ...(review === undefined ? [] : [review]),
    ],
  };
}

function openTokenSources(
  runtime: Runtime,
  tokens: TokenSources | undefined,
): { readonly issuers: readonly RemoteIssuer[]; close(): Promise<void> } {
  if (tokens === undefined || tokens.issuers.length === 0) return { issuers: [], close: () => Promise.resolve() };
  const { issuerCaFile, blockedCidrs, refreshMs } = tokens;
  const ca = issuerCaFile === undefined ? undefined : readTextFile(issuerCaFile);
  const fetcher = createFetchText(runtime.network, blockedCidrs, ca === undefined ? {} : { ca });
  const { clock } = runtime;
  const log = runtime.log.child("ca");
  const issuers = tokens.issuers.map((issuer) => followIssuer({ issuer, clock, log, fetch: fetcher.fetch, refreshMs }));
  return {
    issuers,
    async close() {
      for (const issuer of issuers) issuer.close();
      await fetcher.close();
    },
  };
}

function contentOf(directory: string, names: readonly string[]): string {
  return names
    .map((name) => {
      try {
        return readFileSync(join(directory, name), "utf8");
      } catch {
        return "";
      }
    })
    .join("\0");
}
