/** Follows the bundles of other trust domains (SPIFFE Federation §5): fetched by their refresh hint, kept while a fetch fails. */
import { parseCertificate } from "#certs/certificate.ts";
import { readTextFile } from "#certs/private-files.ts";
import { parseSpiffeId, spiffeIdProblem, trustDomainProblem } from "#certs/spiffe-id.ts";
import { leafProblems } from "#certs/svid-validator.ts";
import { bundleFromJwks, bundleToPem, type TrustBundle } from "#certs/trust-bundle.ts";
import { formatProblem, MeshError, type Problem } from "#lib/problem.ts";
import type { Runtime, Timer } from "#lib/runtime.ts";
import { createFetchText, type FetchOptions } from "../jwks/fetch-text.ts";

/** One `--federate`. */
export interface FederationTarget {
  readonly trustDomain: string;
  readonly url: string;
  /** `https_web`: the server is checked by its host name, against these roots (PEM file) or the system's. */
  readonly caFile?: string | undefined;
  /** `https_spiffe`: the server must prove this ID by the bundle of its domain; the first bundle is in `bundleFile` (JWKS). */
  readonly spiffeId?: string | undefined;
  readonly bundleFile?: string | undefined;
}

export interface FederatedBundles {
  /** By trust domain; a domain that was never reached is missing. */
  readonly bundles: ReadonlyMap<string, TrustBundle>;
  readonly problems: readonly Problem[];
  close(): void;
}

const TIMEOUT_MS = 10_000;
const DEFAULT_REFRESH_MS = 300_000;
const LONGEST_REFRESH_MS = 24 * 3_600_000;
const RETRY_MS = 10_000;

/** `DOMAIN=URL[,ca=FILE][,spiffe-id=ID,bundle=FILE]`. Throws `usage`. */
export function parseFederation(text: string): FederationTarget {
  const [head = "", ...settings] = text.split(",");
  const [, trustDomain = "", url = ""] = /^([^=]*)=(.*)$/.exec(head) ?? [];
  const misuse = (why: string): MeshError =>
    new MeshError("usage", `--federate takes DOMAIN=URL[,ca=FILE][,spiffe-id=ID,bundle=FILE], not "${text}": ${why}.`);
  const problem = trustDomainProblem(trustDomain);
  if (problem !== undefined) throw misuse(problem);
  if (!URL.canParse(url) || new URL(url).protocol !== "https:") throw misuse(`"${url}" is no https:// URL`);
  const found = new Map<string, string>();
  for (const setting of settings) {
    const [, name = "", value = ""] = /^(ca|spiffe-id|bundle)=(.+)$/.exec(setting) ?? [];
    if (name === "") throw misuse(`"${setting}" is none of ca, spiffe-id and bundle`);
    found.set(name, value);
  }
  const [caFile, spiffeId, bundleFile] = [found.get("ca"), found.get("spiffe-id"), found.get("bundle")];
  if ((spiffeId === undefined) !== (bundleFile === undefined)) throw misuse("spiffe-id and bundle go together");
  if (spiffeId !== undefined && caFile !== undefined)
    throw misuse("with spiffe-id the bundle says who is believed, not ca");
  if (spiffeId !== undefined && spiffeIdProblem(spiffeId) !== undefined) throw misuse(`"${spiffeId}" is no SPIFFE ID`);
  if (spiffeId !== undefined && parseSpiffeId(spiffeId).trustDomain !== trustDomain) {
    throw misuse(`"${spiffeId}" is not of ${trustDomain}; only a domain's own endpoint is followed`);
  }
  return { trustDomain, url, caFile, spiffeId, bundleFile };
}

/** Begins at once. Throws where a file can't be used, or a domain is our own. */
export function followBundles(
  runtime: Runtime,
  targets: readonly FederationTarget[],
  options: { readonly ownTrustDomain: string; readonly blockedCidrs: readonly string[]; readonly onChange: () => void },
): FederatedBundles {
  const bundles = new Map<string, TrustBundle>();
  const failures = new Map<string, string>();
  const timers = new Map<string, Timer>();
  const log = runtime.log.child("ca");
  let isClosed = false;

  function take(bundle: TrustBundle): void {
    const before = bundles.get(bundle.trustDomain);
    bundles.set(bundle.trustDomain, bundle);
    if (before !== undefined && bundleToPem(before) === bundleToPem(bundle)) return;
    log.info(`${bundle.authorities.length} roots of the trust domain ${bundle.trustDomain} are trusted for it`);
    options.onChange();
  }

  async function refresh(target: FederationTarget): Promise<void> {
    const { trustDomain, url } = target;
    let waitMs = RETRY_MS;
    try {
      const bundle = await fetchBundle(runtime, target, bundles.get(trustDomain), options.blockedCidrs);
      if (isClosed) return;
      failures.delete(trustDomain);
      take(bundle);
      const hintMs = bundle.refreshHintSeconds === undefined ? DEFAULT_REFRESH_MS : bundle.refreshHintSeconds * 1000;
      waitMs = Math.min(Math.max(hintMs, 1000), LONGEST_REFRESH_MS);
    } catch (error) {
      if (isClosed) return;
      const reason = reasonOf(error);
      if (failures.get(trustDomain) !== reason)
        log.warning(`the bundle of ${trustDomain} can't be had from ${url}: ${reason}`);
      failures.set(trustDomain, reason);
    }
    timers.set(
      trustDomain,
      runtime.clock.setTimer(waitMs, () => void refresh(target)),
    );
  }

  for (const target of targets) {
    const { trustDomain, bundleFile } = target;
    if (trustDomain === options.ownTrustDomain) {
      throw new MeshError(
        "usage",
        `--federate ${trustDomain}: that is our own trust domain; nobody else says who is trusted for it.`,
      );
    }
    if (bundleFile !== undefined) {
      const { value, problems } = bundleFromJwks(trustDomain, readTextFile(bundleFile));
      if (value === undefined) throw new MeshError("usage", `${bundleFile}: ${problems.map(formatProblem).join("; ")}`);
      bundles.set(trustDomain, value);
    }
    void refresh(target);
  }
  return {
    bundles,
    get problems() {
      return [...failures].map(([trustDomain, reason]): Problem => {
        const state = bundles.has(trustDomain) ? "the last one stays in force" : "nobody of it is believed";
        const message = `the bundle of the trust domain ${trustDomain} can't be had: ${reason}; ${state}`;
        return { code: "federation-bundle", level: "warning", path: "", message };
      });
    },
    close() {
      isClosed = true;
      for (const timer of timers.values()) timer.cancel();
    },
  };
}

async function fetchBundle(
  runtime: Runtime,
  { trustDomain, url, caFile, spiffeId }: FederationTarget,
  known: TrustBundle | undefined,
  blockedCidrs: readonly string[],
): Promise<TrustBundle> {
  const tls =
    spiffeId === undefined
      ? webRoots(caFile)
      : {
          ca: bundleToPem(known ?? { authorities: [] }),
          // The name that counts is the SPIFFE ID, whatever host it is asked at.
          checkServerIdentity: (_host: string, { raw }: { readonly raw: Uint8Array }) => identityFault(raw, spiffeId),
        };
  const fetcher = createFetchText(runtime.network, blockedCidrs, { ...tls, maxRedirections: 0 });
  try {
    const { value, problems } = bundleFromJwks(trustDomain, await fetcher.fetch(url, TIMEOUT_MS));
    if (value === undefined) throw new Error(problems.map(formatProblem).join("; "));
    return value;
  } finally {
    await fetcher.close();
  }
}

function webRoots(caFile: string | undefined): FetchOptions {
  return caFile === undefined ? {} : { ca: readTextFile(caFile) };
}

function identityFault(der: Uint8Array, spiffeId: string): Error | undefined {
  try {
    const certificate = parseCertificate(der, "the endpoint's certificate");
    const [problem] = leafProblems(certificate);
    if (problem !== undefined) return new Error(problem.message);
    const [uri] = certificate.subjectAltName?.uris ?? [];
    return uri === spiffeId ? undefined : new Error(`the endpoint is ${uri}, not ${spiffeId}`);
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
