/** The fields of a header block to a `HeaderMap`, refused where RFC 9113 §8 calls a message malformed. */
import { HeaderMap } from "../header-map.ts";
import { FieldKind, type FieldName } from "./field-name.ts";
import type { FieldSink } from "./hpack/decoder.ts";
import type { Http2Stats } from "./http2-stats.ts";

export type BlockKind = "request" | "response" | "trailers";

/** Envoy's response code details for what is wrong with a block. */
export type HeadError =
  | "http2.invalid.header.field"
  | "http2.violation.of.messaging.rule"
  | "http2.too_many_headers"
  | "http2.header_list_size_too_large"
  | "http2.unexpected_underscore";

export interface HeadRules {
  readonly maxBytes: number;
  readonly maxCount: number;
  readonly underscores: "allow" | "reject" | "drop";
  /** Extended CONNECT (RFC 8441). */
  readonly allowConnect: boolean;
  readonly stats: Http2Stats;
}

const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;
const statusForm = /^[1-9][0-9]{2}$/;
const schemeForm = /^[A-Za-z][A-Za-z0-9+.-]*$/;
/** RFC 3986 host and port; no user information, nothing that could end a URL's authority. */
const authorityForm = /^(?:\[[0-9A-Fa-f:.%A-Za-z_~-]+\]|[A-Za-z0-9\-._~!$&'()*+;=%]+)(?::[0-9]*)?$/;

/** One a connection: `begin`, the fields, `finish`. */
export class HeadBuilder implements FieldSink {
  /** What was built; a new map for each block. */
  headers: HeaderMap = new HeaderMap();
  /** Of the last block; -1 when it says nothing. */
  contentLength = -1;
  #kind: BlockKind = "request";
  #error: HeadError | undefined = undefined;
  #bytes = 0;
  #count = 0;
  #hasRegular = false;
  #host: string | undefined = undefined;
  #cookieAt = -1;
  /** A connection mostly asks one host again and again: it is looked at once. */
  #goodAuthority = "";
  readonly #rules: HeadRules;

  constructor(rules: HeadRules) {
    this.#rules = rules;
  }

  begin(kind: BlockKind): void {
    this.#kind = kind;
    this.headers = new HeaderMap();
    this.contentLength = -1;
    this.#error = undefined;
    this.#bytes = 0;
    this.#count = 0;
    this.#hasRegular = false;
    this.#host = undefined;
    this.#cookieAt = -1;
  }

  /** The first thing that is wrong; `headers` counts only when there is none. */
  finish(): HeadError | undefined {
    if (this.#error !== undefined) return this.#error;
    if (this.#kind === "request") return this.#finishRequest();
    if (this.#kind === "response" && this.headers.status === 0) return "http2.violation.of.messaging.rule";
    return undefined;
  }

  onField(name: FieldName, value: string, isValid: boolean, isSensitive: boolean): void {
    // A block that is too large is still read to its end: the tables of both sides must stay the same.
    if (this.#error !== undefined) return;
    const { headers } = this;
    const { kind } = name;
    this.#bytes += name.name.length + value.length;
    if (this.#bytes > this.#rules.maxBytes) return this.#fail("http2.header_list_size_too_large");
    if (kind !== FieldKind.cookie || this.#cookieAt < 0) this.#count++;
    if (this.#count > this.#rules.maxCount) return this.#fail("http2.too_many_headers");
    if (!isValid) return this.#fail("http2.invalid.header.field");
    if (kind === FieldKind.other) {
      this.#hasRegular = true;
      headers.names.push(name.name);
      headers.values.push(value);
    } else if (kind <= FieldKind.protocol) this.#onPseudo(kind, value);
    else this.#onSpecial(name, value);
    if (isSensitive) (headers.sensitive ??= new Set()).add(name.name);
  }

  #onPseudo(kind: FieldKind, value: string): void {
    const { headers } = this;
    if (this.#hasRegular || value === "") return this.#fail("http2.invalid.header.field");
    if (kind === FieldKind.status) {
      if (this.#kind !== "response" || headers.status !== 0 || !statusForm.test(value) || value === "101")
        return this.#fail("http2.invalid.header.field");
      headers.status = Number(value);
      return;
    }
    if (this.#kind !== "request") return this.#fail("http2.invalid.header.field");
    switch (kind) {
      case FieldKind.method:
        if (headers.method !== "" || !(value === "GET" || value === "POST" || token.test(value))) break;
        headers.method = value;
        return;
      case FieldKind.path:
        if (headers.path !== "" || value.includes(" ")) break;
        headers.path = value;
        return;
      case FieldKind.scheme:
        if (headers.scheme !== "" || !(value === "http" || value === "https" || schemeForm.test(value))) break;
        headers.scheme = value;
        return;
      case FieldKind.authority:
        if (headers.authority !== "" || !this.#isAuthority(value)) break;
        headers.authority = value;
        return;
      case FieldKind.protocol:
        if (headers.protocol !== "" || !this.#rules.allowConnect || !token.test(value)) break;
        headers.protocol = value;
        return;
      default:
        break;
    }
    this.#fail("http2.invalid.header.field");
  }

  #onSpecial(name: FieldName, value: string): void {
    const { headers } = this;
    this.#hasRegular = true;
    switch (name.kind) {
      case FieldKind.cookie:
        // Crumbs are put together again (RFC 9113 §8.2.3).
        if (this.#cookieAt >= 0) {
          headers.values[this.#cookieAt] += `; ${value}`;
          return;
        }
        this.#cookieAt = headers.names.length;
        break;
      case FieldKind.contentLength:
        // In trailers it would frame what has already been framed.
        if (this.#kind === "trailers" || this.contentLength >= 0 || !/^[0-9]{1,15}$/.test(value))
          return this.#fail("http2.invalid.header.field");
        this.contentLength = Number(value);
        break;
      case FieldKind.host:
        if (this.#kind !== "request" || (this.#host !== undefined && this.#host !== value))
          return this.#fail("http2.invalid.header.field");
        this.#host = value;
        return;
      case FieldKind.te:
        if (value.toLowerCase() !== "trailers") return this.#fail("http2.invalid.header.field");
        break;
      case FieldKind.underscore:
        if (this.#kind === "request" && this.#rules.underscores !== "allow") {
          const { stats } = this.#rules;
          if (this.#rules.underscores === "drop") return stats.droppedHeadersWithUnderscores.inc();
          stats.requestsRejectedWithUnderscores.inc();
          return this.#fail("http2.unexpected_underscore");
        }
        break;
      default:
        return this.#fail("http2.invalid.header.field");
    }
    headers.names.push(name.name);
    headers.values.push(value);
  }

  #finishRequest(): HeadError | undefined {
    const { headers } = this;
    if (headers.authority === "" && this.#host !== undefined) {
      if (!this.#isAuthority(this.#host)) return "http2.invalid.header.field";
      headers.authority = this.#host;
    }
    const { path } = headers;
    if (headers.method === "" || headers.authority === "") return "http2.violation.of.messaging.rule";
    if (headers.method === "CONNECT" && headers.protocol === "")
      return path === "" && headers.scheme === "" ? undefined : "http2.violation.of.messaging.rule";
    if (headers.protocol !== "" && headers.method !== "CONNECT") return "http2.violation.of.messaging.rule";
    if (path === "" || headers.scheme === "") return "http2.violation.of.messaging.rule";
    if (path.charCodeAt(0) !== 47 /* / */ && !(path === "*" && headers.method === "OPTIONS"))
      return "http2.invalid.header.field";
    return undefined;
  }

  #isAuthority(value: string): boolean {
    if (value === this.#goodAuthority) return true;
    if (!authorityForm.test(value)) return false;
    this.#goodAuthority = value;
    return true;
  }

  #fail(error: HeadError): void {
    this.#error = error;
  }
}
