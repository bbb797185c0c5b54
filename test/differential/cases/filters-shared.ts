/** What the cases of HTTP filters share. */
import type { Case, Exchange, Json } from "../harness/case.ts";
import { cluster, filter, router, upstreamOptions } from "../harness/requests.ts";

export const http = "envoy.extensions.filters.http";

/** A connection manager with these filters, for a listener of the case's own. */
export function before(...filters: readonly Json[]): Json {
  return { http_filters: [...filters, router] };
}

/** Per-route configuration of the filter `name`. */
export function perRoute(name: string, type: string, fields: Json): Json {
  return { typed_per_filter_config: { [name]: { "@type": `type.googleapis.com/${type}`, ...fields } } };
}

/** Statistics whose names hold the case's, as an exchange: for those that stand outside of what is compared anyway. */
export function counts(pattern: string): Exchange {
  return {
    kind: "own",
    run: async (side, id) => {
      const page = await side.admin(`/stats?usedonly&filter=${encodeURIComponent(pattern.replaceAll("{id}", id))}`);
      return page.split("\n").toSorted().join("\n");
    },
  };
}

/** Over HTTP/2 Envoy writes pseudo headers in another order, and counts trailers where it receives them. */
export const overHttp2: Pick<Case, "clusters" | "blur" | "statsExcept"> = {
  clusters: { "": cluster("h", upstreamOptions()) },
  blur: [[/(?:h: )?:(?:authority|scheme|method|path): [^\r\n]*\r?\n/g, ""]],
  statsExcept: {
    "http2.nghttp2_upstream_connections": "names Envoy's codec",
    "http2.trailers": "ours counts all, Envoy those of some codecs",
  },
};

/** What remains of a body after the answer is thrown away with the connection: whether the client hears of it is a race. */
export const leftOver = { downstream_rq_rx_reset: "whether the client's end is seen first is a race" } as const;

export const append = (key: string, value: string, action = "APPEND_IF_EXISTS_OR_ADD"): Json => ({
  append: { header: { key, value }, append_action: action },
});

export const mutation = (mutations: Json, more: Json = {}): Json =>
  filter("hm", `${http}.header_mutation.v3.HeaderMutation`, { mutations, ...more });

export const buffer = (max: number): Json => filter("b", `${http}.buffer.v3.Buffer`, { max_request_bytes: max });

export const always: Json = { default_value: { numerator: 100 } };

export const bucket = (max: number, more: Json = {}): Json => ({
  max_tokens: max,
  tokens_per_fill: max,
  fill_interval: "60s",
  ...more,
});

export const by = (action: Json, more: Json = {}): Json => ({ actions: [action], ...more });

export const byHeader = (name: string, more: Json = {}): Json =>
  by({ request_headers: { header_name: name, descriptor_key: name } }, more);

export const frame = (text: string, flag = 0): string => `${String.fromCharCode(flag, 0, 0, 0, text.length)}${text}`;
