/** Where tokens are in a request, and which issuers may put theirs there. */
import { cookieValue } from "../../../router/hash-policy.ts";
import type { HeaderMap } from "../../header-map.ts";
import { queryParameterOf, withoutQueryParameter } from "../../query-parameters.ts";
import type { JwtProvider } from "./provider.ts";

/** A token as it was found. */
export interface FoundToken {
  readonly text: string;
  mayBeFrom(issuer: string): boolean;
  /** Takes it out of the request. A cookie stays, as in Envoy. */
  remove(headers: HeaderMap): void;
}

/** `""` among the issuers: any. */
type Issuers = Set<string>;

interface HeaderLocation {
  readonly name: string;
  readonly prefix: string;
  readonly issuers: Issuers;
}

/** Of one provider, or of several together. */
export class TokenLocations {
  readonly #headers: readonly HeaderLocation[];
  readonly #params: readonly (readonly [string, Issuers])[];
  readonly #cookies: readonly (readonly [string, Issuers])[];
  readonly #ownHeaders: readonly string[];

  constructor(providers: readonly JwtProvider[]) {
    const headers = new Map<string, HeaderLocation>();
    const params = new Map<string, Issuers>();
    const cookies = new Map<string, Issuers>();
    for (const { issuer, locations } of providers) {
      for (const { name, prefix } of locations.headers) {
        const key = name + prefix;
        const known = headers.get(key) ?? { name, prefix, issuers: new Set() };
        headers.set(key, known);
        known.issuers.add(issuer);
      }
      for (const name of locations.params) issuersAt(params, name).add(issuer);
      for (const name of locations.cookies) issuersAt(cookies, name).add(issuer);
    }
    this.#headers = sorted(headers).map(([, location]) => location);
    this.#params = sorted(params);
    this.#cookies = sorted(cookies);
    this.#ownHeaders = providers.flatMap(({ forwardPayloadHeader, claimToHeaders }) => [
      ...(forwardPayloadHeader === "" ? [] : [forwardPayloadHeader]),
      ...claimToHeaders.map(({ header }) => header),
    ]);
  }

  /** Headers that only a verified token fills: nobody else may bring them. */
  sanitize(headers: HeaderMap): void {
    for (const name of this.#ownHeaders) headers.remove(name);
  }

  /** All of them: one that is bad makes the request bad. */
  find(headers: HeaderMap): FoundToken[] {
    const found: FoundToken[] = [];
    for (const { name, prefix, issuers } of this.#headers) {
      for (const value of headers.getAll(name)) {
        const text = afterPrefix(value, prefix);
        if (text !== undefined) found.push(token(text, issuers, (from) => void from.remove(name)));
      }
    }
    for (const [name, issuers] of this.#params) {
      const text = queryParameterOf(headers.path, name);
      if (text === undefined) continue;
      found.push(token(text, issuers, (from) => void (from.path = withoutQueryParameter(from.path, name))));
    }
    for (const [name, issuers] of this.#cookies) {
      const text = cookieValue(headers, name);
      if (text !== undefined) found.push(token(text, issuers, () => {}));
    }
    return found;
  }
}

function issuersAt(locations: Map<string, Issuers>, name: string): Issuers {
  const known = locations.get(name);
  if (known !== undefined) return known;
  const made: Issuers = new Set();
  locations.set(name, made);
  return made;
}

function sorted<V>(locations: ReadonlyMap<string, V>): readonly (readonly [string, V])[] {
  return [...locations].toSorted(([a], [b]) => (a < b ? -1 : 1));
}

function token(text: string, issuers: Issuers, remove: (headers: HeaderMap) => void): FoundToken {
  return { text, mayBeFrom: (issuer) => issuers.has("") || issuers.has(issuer), remove };
}

/** The prefix may stand anywhere; what can't begin a token is passed over behind it. */
function afterPrefix(value: string, prefix: string): string | undefined {
  if (prefix === "") return value;
  const at = value.indexOf(prefix);
  if (at < 0) return undefined;
  const rest = value.slice(at + prefix.length);
  const start = rest.search(/[A-Za-z0-9_.-]/);
  return start < 0 ? value : rest.slice(start);
}
