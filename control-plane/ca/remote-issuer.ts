/** The keys of an OpenID Connect issuer: discovered, fetched, and fetched again; what was good stays while a fetch fails. */
import type { JSONWebKeySet } from "jose";
import { MeshError } from "#lib/problem.ts";
import type { Clock, Logger, Timer } from "#lib/runtime.ts";
import type { FetchText } from "../jwks/fetch-text.ts";
import { parseKeys, type RemoteKeys } from "./token-issuer.ts";

export interface RemoteIssuerOptions {
  /** `iss` of its tokens, and where its discovery document is below. */
  readonly issuer: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly fetch: FetchText;
  /** Default: 20 minutes, Istio's PILOT_JWT_PUB_KEY_REFRESH_INTERVAL. */
  readonly refreshMs?: number | undefined;
}

export interface RemoteIssuer extends RemoteKeys {
  readonly issuer: string;
  close(): void;
}

const TIMEOUT_MS = 5000;
const REFRESH_MS = 20 * 60_000;
const RETRY_MS = 10_000;
/** Tokens of unknown keys must not make us fetch without end. */
const LEAST_BETWEEN_MS = 10_000;

/** Begins to fetch at once. Throws `usage` for an issuer that can't be asked. */
export function followIssuer(options: RemoteIssuerOptions): RemoteIssuer {
  const { issuer, clock, log, fetch, refreshMs = REFRESH_MS } = options;
  refuseUnsafe(issuer, "--token-issuer");
  let keys: JSONWebKeySet = { keys: [] };
  let failure: string | undefined = "they have not been fetched yet";
  let triedAtMs = Number.NEGATIVE_INFINITY;
  let underWay: Promise<void> | undefined;
  let timer: Timer | undefined;
  let isClosed = false;

  async function load(): Promise<void> {
    triedAtMs = clock.monotonic();
    try {
      keys = await fetchKeys(issuer, fetch);
      failure = undefined;
    } catch (error) {
      failure = error instanceof Error ? error.message : String(error);
      if (!isClosed) log.warning(`the keys of ${issuer} can't be fetched: ${failure}`, { kept: keys.keys.length });
    }
    underWay = undefined;
    timer?.cancel();
    if (!isClosed) timer = clock.setTimer(failure === undefined ? refreshMs : RETRY_MS, () => void start());
  }

  function start(): Promise<void> {
    underWay ??= load();
    return underWay;
  }

  void start();
  return {
    issuer,
    keys: () => keys,
    failure: () => failure,
    async fetchNow() {
      if (underWay === undefined && clock.monotonic() - triedAtMs < LEAST_BETWEEN_MS) return false;
      await start();
      return failure === undefined;
    },
    close() {
      isClosed = true;
      timer?.cancel();
    },
  };
}

/** OpenID Connect Discovery 1.0, §4: the document must be the issuer's own. */
async function fetchKeys(issuer: string, fetch: FetchText): Promise<JSONWebKeySet> {
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const document: unknown = JSON.parse(await fetch(url, TIMEOUT_MS));
  const { issuer: own, jwks_uri: uri } = (typeof document === "object" && document !== null ? document : {}) as {
    readonly issuer?: unknown;
    readonly jwks_uri?: unknown;
  };
  if (own !== issuer)
    throw new Error(`${url} is of the issuer ${JSON.stringify(own)}, not of ${JSON.stringify(issuer)}`);
  if (typeof uri !== "string") throw new Error(`${url} names no jwks_uri`);
  refuseUnsafe(uri, url);
  const keys = parseKeys(await fetch(uri, TIMEOUT_MS), uri);
  if (keys.keys.length === 0) throw new Error(`${uri} holds no key`);
  return keys;
}

/** Keys that came in plaintext are anybody's: https, or this machine. */
function refuseUnsafe(text: string, where: string): void {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isLocal = url !== undefined && /^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(url.hostname);
  if (url?.protocol === "https:" || (url?.protocol === "http:" && isLocal)) return;
  throw new MeshError("usage", `${where}: ${JSON.stringify(text)} is no https:// URL; keys are fetched over TLS only.`);
}
