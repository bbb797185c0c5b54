/** Names of header fields in HTTP/2: checked and classified once, through a bounded cache. */

/** What a field means to the codec itself. */
export const FieldKind = {
  other: 0,
  method: 1,
  path: 2,
  scheme: 3,
  authority: 4,
  status: 5,
  protocol: 6,
  /** Not a lower-case token, an unknown pseudo header, or a field of HTTP/1.1 connections (RFC 9113 §8.2): malformed. */
  invalid: 7,
  te: 8,
  contentLength: 9,
  cookie: 10,
  host: 11,
  underscore: 12,
} as const;

export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

export interface FieldName {
  readonly name: string;
  readonly kind: FieldKind;
}

const lowerCaseToken = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

const kinds: ReadonlyMap<string, FieldKind> = new Map<string, FieldKind>([
  [":method", FieldKind.method],
  [":path", FieldKind.path],
  [":scheme", FieldKind.scheme],
  [":authority", FieldKind.authority],
  [":status", FieldKind.status],
  [":protocol", FieldKind.protocol],
  ["connection", FieldKind.invalid],
  ["keep-alive", FieldKind.invalid],
  ["proxy-connection", FieldKind.invalid],
  ["transfer-encoding", FieldKind.invalid],
  ["upgrade", FieldKind.invalid],
  ["te", FieldKind.te],
  ["content-length", FieldKind.contentLength],
  ["cookie", FieldKind.cookie],
  ["host", FieldKind.host],
]);

/** Classifies without a cache. */
export function fieldName(name: string): FieldName {
  const kind = kinds.get(name);
  if (kind !== undefined) return { name, kind };
  if (!lowerCaseToken.test(name)) return { name, kind: FieldKind.invalid };
  return { name, kind: name.includes("_") ? FieldKind.underscore : FieldKind.other };
}

/** Names beyond this many are looked at anew each time: a peer cannot make the cache grow. */
const maxCachedNames = 2048;

/** One cache for all connections of a listener or cluster. */
export class Http2FieldNames {
  readonly #names = new Map<string, FieldName>();

  lookup(name: string): FieldName {
    return this.#names.get(name) ?? this.#learn(name);
  }

  #learn(spelling: string): FieldName {
    // The engine's unique copy: later comparisons are of pointers.
    const field = fieldName(Object.keys({ [spelling]: 0 })[0] ?? spelling);
    if (field.kind !== FieldKind.invalid && this.#names.size < maxCachedNames) this.#names.set(field.name, field);
    return field;
  }
}
