/** Listener filters: what is read before a filter chain is picked. */
import { any, compact, type JsonObject } from "./json.ts";

const TLS_INSPECTOR = "envoy.filters.listener.tls_inspector";
const HTTP_INSPECTOR = "envoy.filters.listener.http_inspector";

export function originalDestination(): JsonObject {
  return {
    name: "envoy.filters.listener.original_dst",
    typedConfig: any("envoy.extensions.filters.listener.original_dst.v3.OriginalDst"),
  };
}

/** The application sees who calls: the mark keeps what the proxy opens from being captured again. */
export function originalSource(): JsonObject {
  return {
    name: "envoy.filters.listener.original_src",
    typedConfig: any("envoy.extensions.filters.listener.original_src.v3.OriginalSrc", { mark: 1337 }),
  };
}

export function tlsInspector(filterDisabled?: JsonObject): JsonObject {
  return compact({
    name: TLS_INSPECTOR,
    filterDisabled,
    typedConfig: any("envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector", { initialReadBufferSize: 512 }),
  });
}

export function httpInspector(filterDisabled?: JsonObject): JsonObject {
  return compact({
    name: HTTP_INSPECTOR,
    filterDisabled,
    typedConfig: any("envoy.extensions.filters.listener.http_inspector.v3.HttpInspector"),
  });
}

/** Switched on for every port but these. */
export function exceptPorts(ports: readonly number[]): JsonObject | undefined {
  return anyPort(ports);
}

/** Switched on for these ports alone. */
export function onlyPorts(ports: readonly number[]): JsonObject | undefined {
  const among = anyPort(ports);
  return among === undefined ? undefined : { notMatch: among };
}

function anyPort(ports: readonly number[]): JsonObject | undefined {
  const rules = ports
    .toSorted((a, b) => a - b)
    .map((port) => ({ destinationPortRange: { start: port, end: port + 1 } }));
  return rules.length <= 1 ? rules[0] : { orMatch: { rules } };
}

/** Strips the PROXY protocol header that a load balancer puts before the connection; without one it is refused. */
export function proxyProtocol(): JsonObject {
  return {
    name: "envoy.filters.listener.proxy_protocol",
    typedConfig: any("envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"),
  };
}
