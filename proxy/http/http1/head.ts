/** The field lines of a message head: from one latin1 string into a `HeaderMap`, with what they say about framing. */
import type { PreservedCase } from "./header-key-format.ts";
import type { HeaderMap } from "../header-map.ts";
import { FieldKind, type FieldName, type FieldNames } from "./field-names.ts";

/** What the fields of one message say about its framing. Reused from message to message. */
export class Framing {
  /** -1: none. */
  contentLength = -1;
  isChunked = false;
  hasTransferEncoding = false;
  /** `Connection: close` (or `Proxy-Connection: close`). */
  close = false;
  keepAlive = false;
  /** `Connection` names `upgrade`, and `Upgrade` is there. */
  isUpgrade = false;
  hostCount = 0;

  clear(): void {
    this.contentLength = -1;
    this.isChunked = false;
    this.hasTransferEncoding = false;
    this.close = false;
    this.keepAlive = false;
    this.isUpgrade = false;
    this.hostCount = 0;
  }
}

export interface HeadLimits {
  readonly names: FieldNames;
  readonly maxCount: number;
  readonly underscores: "allow" | "reject" | "drop";
  readonly onUnderscoreDropped?: (() => void) | undefined;
  /** Present: the spelling of names is kept beside each message. */
  readonly newSpelling?: (() => PreservedCase) | undefined;
}

/**
 * The lines of the head before, by their place: a peer says most of the same again in its next message, and what has been
 * checked once need not be taken apart twice. One for each direction of a connection.
 */
export class LineMemo {
  readonly lines: string[] = [];
  readonly fields: FieldName[] = [];
  readonly values: string[] = [];
  /** How often the line in a place was another one: those that always differ are left alone. */
  readonly #misses: number[] = [];

  learn(index: number, line: string, field: FieldName, value: string): void {
    const misses = this.#misses[index] ?? 0;
    if (misses >= maxMisses) return;
    this.#misses[index] = misses + 1;
    this.lines[index] = line;
    this.fields[index] = field;
    this.values[index] = value;
  }
}

const maxMisses = 4;
/** Longer heads are not kept alive by what is remembered of them. */
const maxRememberedHeadBytes = 4096;

/** True when `line` stands at `position`; asked for a line that is likely to be there, or has another length. */
function isLineAt(block: string, line: string, position: number): boolean {
  // Finding is much faster than comparing; the first look keeps it from searching in vain for a line of another length.
  return block.charCodeAt(position + line.length - 1) === 10 && block.indexOf(line, position) === position;
}

/** Why a head is refused: Envoy's `http1.…` details. */
export type HeadError =
  | "http1.codec_error"
  | "http1.invalid_characters"
  | "http1.too_many_headers"
  | "http1.invalid_transfer_encoding"
  | "http1.connection_header_rejected"
  | "http1.unexpected_underscore";

/** Controls but for the tab. */
// oxlint-disable-next-line no-control-regex -- these are what must not be in a value
const forbiddenInValue = /[\x00-\x08\x0a-\x1f\x7f]/;
const decimal = /^[0-9]{1,15}$/;

/**
 * Reads field lines from `position` up to the end of `block`, which ends with the CRLF of the last line. Fields that end
 * at this hop (RFC 9110 §7.6.1) are taken out; `Upgrade` and `Connection` stay when an upgrade is asked for.
 */
export function parseFields(
  block: string,
  position: number,
  headers: HeaderMap,
  framing: Framing,
  limits: HeadLimits,
  memo: LineMemo,
): HeadError | undefined {
  const { maxCount } = limits;
  const { lines } = memo;
  let count = 0;
  let connection: string | undefined;
  let upgrade: string | undefined;
  const spelling = limits.newSpelling?.();
  headers.spelling = spelling;
  while (position < block.length) {
    let field: FieldName;
    let value: string;
    const known = lines[count];
    if (known !== undefined && isLineAt(block, known, position)) {
      field = memo.fields[count] as FieldName;
      value = memo.values[count] as string;
      spelling?.learn(field.name, known.slice(0, known.indexOf(":")));
      position += known.length;
    } else {
      const lineEnd = block.indexOf("\r\n", position);
      const colon = block.indexOf(":", position);
      // No colon in this line; this also catches obs-fold, which has no name.
      if (colon < 0 || colon > lineEnd) return "http1.codec_error";
      const found = limits.names.lookup(block.slice(position, colon));
      if (found === undefined)
        return block.slice(position, colon).includes("\0") ? "http1.invalid_characters" : "http1.codec_error";
      value = trimmedValue(block, colon + 1, lineEnd);
      if (forbiddenInValue.test(value)) return "http1.invalid_characters";
      field = found;
      spelling?.learn(found.name, block.slice(position, colon));
      if (block.length <= maxRememberedHeadBytes) memo.learn(count, block.slice(position, lineEnd + 2), field, value);
      position = lineEnd + 2;
    }
    if (++count > maxCount) return "http1.too_many_headers";
    if (field.kind === FieldKind.other) {
      headers.names.push(field.name);
      headers.values.push(value);
      continue;
    }
    switch (field.kind) {
      case FieldKind.host:
        framing.hostCount++;
        headers.authority = value;
        break;
      case FieldKind.contentLength:
        // Repeated, signed, hexadecimal, listed: all the ways to say two lengths at once.
        if (framing.contentLength >= 0 || !decimal.test(value)) return "http1.codec_error";
        framing.contentLength = Number(value);
        headers.names.push(field.name);
        headers.values.push(value);
        break;
      case FieldKind.transferEncoding:
        if (framing.hasTransferEncoding || value.toLowerCase() !== "chunked") return "http1.invalid_transfer_encoding";
        framing.hasTransferEncoding = true;
        framing.isChunked = true;
        break;
      case FieldKind.connection:
        connection = connection === undefined ? value : `${connection},${value}`;
        break;
      case FieldKind.upgrade:
        upgrade = upgrade === undefined ? value : `${upgrade},${value}`;
        break;
      case FieldKind.proxyConnection:
        if (value.toLowerCase() === "close") framing.close = true;
        break;
      case FieldKind.underscore:
        if (limits.underscores === "reject") return "http1.unexpected_underscore";
        if (limits.underscores === "drop") limits.onUnderscoreDropped?.();
        else {
          headers.names.push(field.name);
          headers.values.push(value);
        }
        break;
      default: // keep-alive, http2-settings: end here
    }
  }
  if (connection !== undefined) return applyConnection(connection, upgrade, headers, framing);
  return undefined;
}

/** Without optional whitespace (SP, HTAB) at both ends. `String.trim` would take more than HTTP allows. */
function trimmedValue(block: string, from: number, to: number): string {
  while (from < to && isOws(block.charCodeAt(from))) from++;
  while (to > from && isOws(block.charCodeAt(to - 1))) to--;
  return block.slice(from, to);
}

function isOws(code: number): boolean {
  return code === 32 || code === 9;
}

/** Fields that `Connection` must not take away (as in Envoy, which answers 400: they say who asks, and for what). */
const notNominated = new Set(["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "host", "content-length"]);

function applyConnection(
  connection: string,
  upgrade: string | undefined,
  headers: HeaderMap,
  framing: Framing,
): HeadError | undefined {
  // What nearly every peer says.
  if (connection === "keep-alive") {
    framing.keepAlive = true;
    return undefined;
  }
  for (const part of connection.split(",")) {
    const token = part.trim().toLowerCase();
    switch (token) {
      case "":
        break;
      case "close":
        framing.close = true;
        break;
      case "keep-alive":
        framing.keepAlive = true;
        break;
      case "upgrade":
        // h2c is not offered over HTTP/1.1: the request goes on as if it had not asked (as in Envoy).
        if (upgrade !== undefined && upgrade !== "" && upgrade.toLowerCase() !== "h2c") framing.isUpgrade = true;
        break;
      case "te": // stays when it says `trailers`: the connection manager looks at it
        break;
      default:
        if (token.startsWith(":") || notNominated.has(token)) return "http1.connection_header_rejected";
        headers.remove(token);
    }
  }
  if (framing.isUpgrade && upgrade !== undefined) {
    headers.add("connection", "upgrade");
    headers.add("upgrade", upgrade);
  }
  return undefined;
}
