/** Short words for requests, answers, routes and clusters of cases. */
import type { BackendName, Exchange, Http2Exchange, Json, RawExchange, Step } from "./case.ts";

type Fields = Readonly<Record<string, string | readonly string[]>>;

/** `GET path` over HTTP/1.1, with a host of the case's own unless `fields` has one. */
export function get(path = "/", fields: Fields = {}): RawExchange {
  return request("GET", path, fields);
}

/** A request with `content-length` when there is a body. */
export function request(method: string, path: string, fields: Fields = {}, body?: string): RawExchange {
  return { kind: "raw", steps: [requestText(method, path, fields, body)] };
}

export function requestText(method: string, path: string, fields: Fields = {}, body?: string): string {
  const own: Record<string, string | readonly string[]> = { host: "{id}.test", "x-case": "{id}", ...fields };
  if (body !== undefined && own["transfer-encoding"] === undefined) own["content-length"] ??= String(body.length);
  const lines = Object.entries(own).flatMap(([name, value]) =>
    (typeof value === "string" ? [value] : value).map((one) => `${name}: ${one}\r\n`),
  );
  return `${method} ${path} HTTP/1.1\r\n${lines.join("")}\r\n${body ?? ""}`;
}

export function raw(...steps: readonly Step[]): RawExchange {
  return { kind: "raw", steps };
}

/** Waits for the end of the connection, which the proxy closes. */
export function rawUntilClosed(...steps: readonly Step[]): RawExchange {
  return { kind: "raw", steps, untilClosed: true };
}

export function http2(
  path: string,
  fields: Fields = {},
  more: Omit<Http2Exchange, "kind" | "headers"> = {},
): Http2Exchange {
  const method = more.body === undefined ? "GET" : "POST";
  return {
    kind: "http2",
    headers: {
      ":method": method,
      ":scheme": "http",
      ":authority": "{id}.test",
      ":path": path,
      "x-case": "{id}",
      ...fields,
    },
    ...more,
  };
}

/** Several on one connection, each sent when the one before was answered. */
export function inTurn(...texts: readonly string[]): Exchange {
  return {
    kind: "raw",
    responses: texts.length,
    steps: texts.flatMap((text, i) => (i === 0 ? [text] : [{ until: `#${i}` }, text])),
  };
}

/** A response of an HTTP/1.1 backend. */
export function answer(status: number | string, fields: Fields = {}, body = ""): string {
  const lines = Object.entries(fields).flatMap(([name, value]) =>
    (typeof value === "string" ? [value] : value).map((one) => `${name}: ${one}\r\n`),
  );
  return `HTTP/1.1 ${status}${typeof status === "number" ? " X" : ""}\r\n${lines.join("")}content-length: ${body.length}\r\n\r\n${body}`;
}

/** Fields of a cluster that leads to these backends. */
export function cluster(backends: BackendName | readonly BackendName[], more: Json = {}): Json {
  const names = typeof backends === "string" ? [backends] : backends;
  return { $backends: names, ...more };
}

/** An endpoint at a backend. */
export function endpoint(name: BackendName, more: Json = {}): Json {
  return {
    endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: `port:${name}` } } },
    ...more,
  };
}

const extensions = "type.googleapis.com/envoy.extensions";

/** `typed_extension_protocol_options` for an upstream over HTTP/2, or with other options. */
export function upstreamOptions(options: Json = { explicit_http_config: { http2_protocol_options: {} } }): Json {
  return {
    typed_extension_protocol_options: {
      "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": `${extensions}.upstreams.http.v3.HttpProtocolOptions`,
        ...("explicit_http_config" in options || "auto_config" in options || "use_downstream_protocol_config" in options
          ? {}
          : { explicit_http_config: { http_protocol_options: {} } }),
        ...options,
      },
    },
  };
}

/** A route that matches a prefix and forwards to the cluster `{id}`. */
export function forward(action: Json = {}, more: Json = {}): Json {
  const target = ["cluster", "cluster_header", "weighted_clusters"].some((name) => name in action)
    ? {}
    : { cluster: "{id}" };
  return { match: { prefix: "/" }, route: { ...target, ...action }, ...more };
}

/** A route that answers with its own name, to show which was taken. */
export function says(name: string, match: Json, more: Json = {}): Json {
  return { name, match, direct_response: { status: 200, body: { inline_string: name } }, ...more };
}

export const router: Json = {
  name: "envoy.filters.http.router",
  typed_config: { "@type": `${extensions}.filters.http.router.v3.Router` },
};

/** An HTTP filter by the last parts of its type. */
export function filter(name: string, type: string, fields: Json = {}): Json {
  return { name, typed_config: { "@type": `type.googleapis.com/${type}`, ...fields } };
}
