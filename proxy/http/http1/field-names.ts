/** Names of header fields as they arrive: checked, lower-cased, classified; each spelling once, through a bounded cache. */

/** What a field means to the codec itself. Everything else is `other`. */
export const FieldKind = {
  other: 0,
  host: 1,
  contentLength: 2,
  transferEncoding: 3,
  connection: 4,
  upgrade: 5,
  /** `keep-alive`, `proxy-connection`: end at this hop and mean nothing else here. */
  hopByHop: 6,
  proxyConnection: 7,
  underscore: 8,
  http2Settings: 9,
} as const;

export type FieldKind = (typeof FieldKind)[keyof typeof FieldKind];

export interface FieldName {
  /** Lower case. */
  readonly name: string;
  readonly kind: FieldKind;
}

/** RFC 9110 `token`, lower case. */
const lowerCaseToken = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;

const kinds: Readonly<Record<string, FieldKind>> = {
  host: FieldKind.host,
  "content-length": FieldKind.contentLength,
  "transfer-encoding": FieldKind.transferEncoding,
  connection: FieldKind.connection,
  upgrade: FieldKind.upgrade,
  "keep-alive": FieldKind.hopByHop,
  "proxy-connection": FieldKind.proxyConnection,
  "http2-settings": FieldKind.http2Settings,
};

/** Spellings beyond this many are looked at anew each time: a peer cannot make the cache grow. */
const maxCachedSpellings = 2048;

/** One cache for all connections of a listener or cluster. */
export class FieldNames {
  readonly #spellings = new Map<string, FieldName>();

  /** The field that `spelling` names; undefined when it is not a token. */
  lookup(spelling: string): FieldName | undefined {
    const known = this.#spellings.get(spelling);
    return known ?? this.#learn(spelling);
  }

  #learn(spelling: string): FieldName | undefined {
    const lower = spelling.toLowerCase();
    if (!lowerCaseToken.test(lower)) return undefined;
    const name = internalized(lower);
    const kind = Object.hasOwn(kinds, name) ? (kinds[name] ?? FieldKind.other) : FieldKind.other;
    const field: FieldName = {
      name,
      kind: kind === FieldKind.other && name.includes("_") ? FieldKind.underscore : kind,
    };
    if (this.#spellings.size < maxCachedSpellings) this.#spellings.set(internalized(spelling), field);
    return field;
  }
}

/** The engine's unique copy of a string: property keys are unique, so that later comparisons are of pointers. */
function internalized(text: string): string {
  return Object.keys({ [text]: 0 })[0] ?? text;
}
