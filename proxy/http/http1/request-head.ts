/** One request head: its line, its fields and what they say of host and framing. What can be read in two ways is refused. */
import type { CodecError } from "../codec.ts";
import { HeaderMap } from "../header-map.ts";
import { Framing, LineMemo, parseFields, type HeadError, type HeadLimits } from "./head.ts";
import { isSameAuthority, parseAbsoluteTarget, parseRequestLine, type RequestLine } from "./request-line.ts";

export interface RequestHeadOptions {
  readonly acceptHttp10: boolean;
  readonly defaultHostForHttp10: string;
  readonly allowAbsoluteUrl: boolean;
  readonly allowChunkedLength: boolean;
  readonly allowCustomMethods: boolean;
}

/** One a connection: it remembers what its last head looked like. */
export class RequestHeadReader {
  /** Of the last head. */
  readonly framing: Framing = new Framing();
  readonly #line: RequestLine = { method: "", target: "", version: "HTTP/1.1" };
  readonly #memo = new LineMemo();
  #lastAuthority = "";
  readonly #limits: HeadLimits;
  readonly #options: RequestHeadOptions;

  constructor(limits: HeadLimits, options: RequestHeadOptions) {
    this.#limits = limits;
    this.#options = options;
  }

  get isHttp10(): boolean {
    return this.#line.version === "HTTP/1.0";
  }

  /** The client wants the connection to end with this request (in HTTP/1.0: unless it says otherwise). */
  get wantsClose(): boolean {
    return this.framing.close || (this.isHttp10 && !this.framing.keepAlive);
  }

  /** `block` is a head without the empty line that ends it. */
  read(block: string): HeaderMap | CodecError {
    const lineEnd = block.indexOf("\r\n");
    const { framing } = this;
    const lineError = parseRequestLine(block.slice(0, lineEnd), this.#line, this.#options.allowCustomMethods);
    if (lineError === "low_version") return lowVersion;
    if (lineError !== undefined) return refusal(lineError, "the request line is malformed");
    const headers = new HeaderMap();
    framing.clear();
    const fieldError = parseFields(block, lineEnd + 2, headers, framing, this.#limits, this.#memo);
    if (fieldError !== undefined)
      return { ...refusal(fieldError, "the header fields are malformed"), status: statusOf(fieldError) };
    if (this.isHttp10 && !this.#options.acceptHttp10) return lowVersion;
    headers.method = this.#line.method;
    return this.#framingError(headers) ?? this.#setTarget(headers) ?? headers;
  }

  #framingError(headers: HeaderMap): CodecError | undefined {
    const { framing } = this;
    if (framing.hasTransferEncoding) {
      if (this.isHttp10) return refusal("http1.transfer_encoding_not_allowed", "HTTP/1.0 knows no transfer codings");
      if (framing.contentLength >= 0) {
        if (!this.#options.allowChunkedLength)
          return refusal("http1.content_length_and_chunked_not_allowed", "both content-length and transfer-encoding");
        headers.remove("content-length");
        framing.contentLength = -1;
      }
    }
    const hasBody = framing.isChunked || framing.contentLength > 0;
    if (hasBody && (framing.isUpgrade || headers.method === "CONNECT"))
      return refusal("http1.body_disallowed", "a request to upgrade or tunnel has no body");
    return framing.hostCount > 1 ? refusal("http.invalid_authority", "more than one host") : undefined;
  }

  /** The four forms of a target (RFC 9112 §3.2). */
  #setTarget(headers: HeaderMap): CodecError | undefined {
    const { target } = this.#line;
    if (headers.method === "CONNECT") {
      headers.authority = target;
    } else if (target.charCodeAt(0) === 47 /* / */ || (target === "*" && headers.method === "OPTIONS")) {
      headers.path = target;
      if (headers.authority === "" && this.isHttp10) headers.authority = this.#options.defaultHostForHttp10;
    } else {
      const error = this.#setAbsoluteTarget(headers, target);
      if (error !== undefined) return error;
    }
    // A connection mostly asks one host again and again: it is looked at once.
    if (headers.authority === this.#lastAuthority) return undefined;
    if (headers.authority !== "" && !isAuthority(headers.authority))
      return refusal("http.invalid_authority", "host is not an authority");
    this.#lastAuthority = headers.authority;
    return undefined;
  }

  #setAbsoluteTarget(headers: HeaderMap, target: string): CodecError | undefined {
    const absolute = this.#options.allowAbsoluteUrl ? parseAbsoluteTarget(target) : "http1.invalid_url";
    if (typeof absolute === "string")
      return refusal(absolute, "the request target is neither a path nor an absolute URL");
    // Differs from Envoy, which lets the target win: two names for one request are refused.
    const defaultPort = absolute.scheme === "https" ? "443" : "80";
    if (headers.authority !== "" && !isSameAuthority(headers.authority, absolute.authority, defaultPort))
      return refusal("http.invalid_authority", "host differs from the request target");
    headers.authority = absolute.authority;
    headers.path = absolute.path;
    headers.scheme = absolute.scheme;
    return undefined;
  }
}

const lowVersion: CodecError = { status: 426, details: "low_version", message: "only HTTP/1.1 is spoken here" };

function refusal(details: string, message: string): CodecError {
  return { status: 400, details, message };
}

function statusOf(error: HeadError): CodecError["status"] {
  if (error === "http1.too_many_headers") return 431;
  return error === "http1.invalid_transfer_encoding" ? 501 : 400;
}

const authoritySyntax = /^[A-Za-z0-9\-._~%!$&'()*+,;=:@[\]]+$/;

/** Characters that RFC 3986 allows in an authority; no slash, no space, no second name. */
function isAuthority(text: string): boolean {
  return authoritySyntax.test(text) && !text.includes(",");
}
