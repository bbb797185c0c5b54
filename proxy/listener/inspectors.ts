/** `tls_inspector` and `http_inspector`. */
import type { StatsScope } from "../observability/stats.ts";
import { parseClientHello } from "../tls/client-hello.ts";
import type { AcceptedFacts, Inspection, ListenerFilter } from "./listener-filters.ts";

type Inspector = Pick<ListenerFilter, "name" | "inspect">;

/** Envoy's limit for a ClientHello. */
export const MAX_CLIENT_HELLO_BYTES: number = 64 * 1024;

export interface TlsInspectorConfig {
  readonly maxClientHelloBytes: number;
  readonly closesOnParseError: boolean;
}

/** Sets server name, ALPN and transport protocol. One for all listeners that configure it alike. */
export function tlsInspector(config: TlsInspectorConfig, root: StatsScope): Inspector {
  const scope = root.scope("tls_inspector");
  const count = {
    tlsFound: scope.counter("tls_found"),
    tlsNotFound: scope.counter("tls_not_found"),
    alpnFound: scope.counter("alpn_found"),
    alpnNotFound: scope.counter("alpn_not_found"),
    sniFound: scope.counter("sni_found"),
    sniNotFound: scope.counter("sni_not_found"),
    tooLarge: scope.counter("client_hello_too_large"),
    bytes: scope.histogram("bytes_processed"),
  };
  return {
    name: "envoy.filters.listener.tls_inspector",
    inspect(bytes: Buffer, facts: AcceptedFacts): Inspection {
      const result = parseClientHello(bytes);
      switch (result.kind) {
        case "incomplete":
          if (bytes.length < config.maxClientHelloBytes) return "more";
          count.tooLarge.inc();
          return "close";
        case "malformed":
        case "not-tls":
          count.tlsNotFound.inc();
          count.bytes.record(bytes.length);
          return result.kind === "malformed" && config.closesOnParseError ? "close" : "done";
        case "hello": {
          const { serverName, alpn } = result.hello;
          count.tlsFound.inc();
          count.bytes.record(bytes.length);
          (alpn.length > 0 ? count.alpnFound : count.alpnNotFound).inc();
          (serverName === "" ? count.sniNotFound : count.sniFound).inc();
          facts.transportProtocol = "tls";
          facts.serverName = serverName;
          facts.applicationProtocols = alpn;
          return "done";
        }
      }
    },
  };
}

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/** Envoy's limit for the bytes that are looked at. */
const MAX_INSPECT_BYTES = 64 * 1024;
const REQUEST_LINE = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]+ +[^ \r\n]+ +HTTP\/1\.([01])\r?$/;
/** What a method may begin with; anything else is no HTTP, without waiting for the line's end. */
const METHOD_SO_FAR = /^[A-Za-z0-9!#$%&'*+\-.^_`|~]*( |$)/;

/**
 * Sets the application protocol of plaintext HTTP: `http/1.0`, `http/1.1`, `h2c`.
 * Differs from Envoy: bytes that no method begins with settle it at once; Envoy waits for a line or for the timeout.
 */
export function httpInspector(root: StatsScope): Inspector {
  const scope = root.scope("http_inspector");
  const count = {
    http10: scope.counter("http10_found"),
    http11: scope.counter("http11_found"),
    http2: scope.counter("http2_found"),
    none: scope.counter("http_not_found"),
    readError: scope.counter("read_error"),
  };
  const nothing = (): Inspection => {
    count.none.inc();
    return "done";
  };
  return {
    name: "envoy.filters.listener.http_inspector",
    inspect(bytes: Buffer, facts: AcceptedFacts): Inspection {
      if (facts.transportProtocol !== "" && facts.transportProtocol !== "raw_buffer") return "done";
      const text = bytes.toString("latin1", 0, MAX_INSPECT_BYTES);
      if (PREFACE.startsWith(text.slice(0, PREFACE.length)) && text !== "") {
        if (text.length < PREFACE.length) return "more";
        count.http2.inc();
        facts.applicationProtocols = ["h2c"];
        return "done";
      }
      const end = text.indexOf("\n");
      if (end < 0) {
        if (!METHOD_SO_FAR.test(text) || bytes.length >= MAX_INSPECT_BYTES) return nothing();
        return "more";
      }
      const line = REQUEST_LINE.exec(text.slice(0, end));
      if (line === null) return nothing();
      const isHttp10 = line[1] === "0";
      (isHttp10 ? count.http10 : count.http11).inc();
      facts.applicationProtocols = [isHttp10 ? "http/1.0" : "http/1.1"];
      return "done";
    },
  };
}
