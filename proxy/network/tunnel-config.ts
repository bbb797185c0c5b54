/** `TcpProxy.tunneling_config` → what a TCP connection is carried in. */
import type { MessageReader } from "#protos/reader.ts";
import type { TcpProxy_TunnelingConfig } from "#protos/gen/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy_pb.js";
import { HeaderMap } from "../http/header-map.ts";
import { compileFormat } from "../observability/access-log/format.ts";
import { parseHeaderMutations } from "../router/header-mutations.ts";
import type { StreamInfo } from "../stream-info.ts";

export interface TunnelingConfig {
  /** The request that opens a tunnel. `isSecure`: the upstream connection is TLS. */
  requestHeaders(info: StreamInfo, isSecure: boolean): HeaderMap;
  /** Filter state gets the head of the response. */
  readonly propagatesHeaders: boolean;
  readonly propagatesTrailers: boolean;
}

/** Problems go to the reader's list. */
export function parseTunnelingConfig(reader: MessageReader<TcpProxy_TunnelingConfig>): TunnelingConfig {
  const hostname = reader.get("hostname");
  const format = compileFormat(hostname, { path: reader.at("hostname") });
  reader.problems.push(...format.problems);
  const mutations = parseHeaderMutations({
    add: reader.children("headersToAdd"),
    remove: [],
    removeAt: reader.at("headersToAdd"),
    problems: reader.problems,
  });
  const usesPost = reader.get("usePost");
  const postPath = reader.get("postPath");
  if (postPath !== "" && !usesPost) reader.invalid("postPath", "Can't set a post path when POST method isn't used");
  const config: TunnelingConfig = {
    requestHeaders(info, isSecure) {
      const headers = new HeaderMap();
      headers.method = usesPost ? "POST" : "CONNECT";
      headers.authority = format.value?.({ info }) ?? hostname;
      if (usesPost) {
        headers.path = postPath === "" ? "/" : postPath;
        headers.scheme = isSecure ? "https" : "http";
      }
      mutations?.apply(headers, { info, requestHeaders: headers });
      return headers;
    },
    propagatesHeaders: reader.get("propagateResponseHeaders"),
    propagatesTrailers: reader.get("propagateResponseTrailers"),
  };
  reader.finish();
  return config;
}
