/**
 * Keeps the key sets that JWT rules name: fetched when a rule appears, again from time to time, and kept through failures.
 * A mesh gets those that are there; the others follow as a new mesh.
 */
import { createHash } from "node:crypto";
import type { Clock, Logger, Timer } from "#lib/runtime.ts";
import { durationMsFrom } from "../model/duration.ts";
import { hasUsableKey, type KeySetSource, keySetSources } from "../model/key-sets.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import { fieldsOf, stringOf } from "../model/read-fields.ts";
import type { FetchText } from "./fetch-text.ts";

export interface KeySetResolverOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly fetch: FetchText;
  /** PILOT_JWT_PUB_KEY_REFRESH_INTERVAL: 20 minutes. */
  readonly refreshMs?: number;
  /** Key sets have come or changed: `withKeySets` gives another mesh now. */
  readonly onChange: () => void;
}

export interface KeySetResolver {
  /** The mesh with the key sets that are there; those that are missing are fetched from now on. */
  withKeySets(mesh: MeshIndex): MeshIndex;
  close(): void;
}

interface KeptKeySet {
  readonly source: KeySetSource;
  text: string | undefined;
  failures: number;
  timer: Timer | undefined;
}

const REFRESH_MS = 20 * 60_000;
const FIRST_RETRY_MS = 1000;
const MAX_RETRY_MS = 60_000;

export function createKeySetResolver(options: KeySetResolverOptions): KeySetResolver {
  const { clock, log, fetch, onChange, refreshMs = REFRESH_MS } = options;
  const kept = new Map<string, KeptKeySet>();
  /** By the shape of the mesh as it was read, and by the hash of the key sets. */
  const shapes = new WeakMap<object, Map<string, object>>();
  let isClosed = false;

  async function refresh(key: string, set: KeptKeySet): Promise<void> {
    const text = await fetchKeySet(set.source, fetch).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      // Keys that were good stay in force: whoever can disturb a fetch must not be able to change who gets in.
      log.warning(`the key set of ${key} can't be fetched: ${reason}`, { kept: set.text !== undefined });
      return undefined;
    });
    if (isClosed || kept.get(key) !== set) return;
    const isChanged = text !== undefined && text !== set.text;
    if (isChanged) set.text = text;
    set.failures = text === undefined ? set.failures + 1 : 0;
    const retryMs = Math.min(FIRST_RETRY_MS * 2 ** (set.failures - 1), MAX_RETRY_MS);
    set.timer = clock.setTimer(
      text === undefined ? Math.min(retryMs, refreshMs) : refreshMs,
      () => void refresh(key, set),
    );
    if (isChanged) onChange();
  }

  return {
    withKeySets(mesh) {
      const wanted = keySetSources(mesh.objects("RequestAuthentication"), durationMsFrom);
      for (const [key, set] of kept) {
        if (wanted.has(key)) continue;
        set.timer?.cancel();
        kept.delete(key);
      }
      for (const [key, source] of wanted) {
        if (kept.has(key)) continue;
        const set: KeptKeySet = { source, text: undefined, failures: 0, timer: undefined };
        kept.set(key, set);
        void refresh(key, set);
      }
      const texts = new Map([...kept].flatMap(([key, { text }]) => (text === undefined ? [] : [[key, text] as const])));
      if (texts.size === 0) return mesh;
      const hash = createHash("sha256")
        .update(JSON.stringify([...texts].toSorted(([a], [b]) => (a < b ? -1 : 1))))
        .digest("hex")
        .slice(0, 12);
      // Other keys are another shape: listeners have them in them.
      const shape = shapes.get(mesh.shape) ?? new Map<string, object>();
      shapes.set(mesh.shape, shape);
      if (!shape.has(hash)) shape.set(hash, {});
      return {
        ...mesh,
        keySet: (key) => texts.get(key),
        shape: shape.get(hash) ?? mesh.shape,
        version: `${mesh.version}-${hash}`,
      };
    },
    close() {
      isClosed = true;
      for (const { timer } of kept.values()) timer?.cancel();
    },
  };
}

async function fetchKeySet({ uri, issuer, timeoutMs }: KeySetSource, fetch: FetchText): Promise<string> {
  const from = uri ?? (await discover(issuer, timeoutMs, fetch));
  const text = await fetch(from, timeoutMs);
  // A page that says "sorry" is no key set: it would take away the keys that are there.
  if (!hasUsableKey(text)) throw new Error(`${from} is no JSON Web Key Set with a key in it`);
  return text;
}

/** OpenID Connect Discovery 1.0, §4. */
async function discover(issuer: string, timeoutMs: number, fetch: FetchText): Promise<string> {
  const url = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const uri = stringOf(fieldsOf(JSON.parse(await fetch(url, timeoutMs)))["jwks_uri"]);
  if (uri === undefined || !/^https?:\/\//.test(uri)) throw new Error(`${url} names no jwks_uri`);
  return uri;
}
