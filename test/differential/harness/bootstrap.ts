/** A table of cases → one bootstrap: each case has virtual hosts, clusters and, where it asks for it, a listener of its own. */
import type { BackendName, Case, Json, Table } from "./case.ts";
import { endpoint, forward, router } from "./requests.ts";

/** The name of a case: found in whatever text carries it. */
export function caseId(index: number): string {
  return `case${index}x`;
}

const idPattern = /case\d+x/;

export function idIn(text: string): string | undefined {
  return idPattern.exec(text)?.[0];
}

/** Replaces `{id}` in any value made of JSON. */
export function withId<T>(value: T, id: string): T {
  return JSON.parse(JSON.stringify(value).replaceAll("{id}", id)) as T;
}

/** Where the cases that need no listener of their own are served. */
export const sharedListener = "main";

export function listenerOf(one: Case, id: string): string {
  const isOwn = [one.manager, one.routeConfig, one.listener, one.filterChain].some((given) => given !== undefined);
  return isOwn ? id : sharedListener;
}

/** Ports are still texts: `port:a`; the log's path is `{log}`. */
export function bootstrapOf(table: Table): Json {
  const shared: Json[] = [];
  const listeners: Json[] = [];
  const clusters: Json[] = [];
  for (const [index, one] of table.cases.entries()) {
    const id = caseId(index);
    const hosts = withId(virtualHostsOf(one), id);
    clusters.push(...clustersOf(one, id));
    if (listenerOf(one, id) === sharedListener) shared.push(...hosts);
    else listeners.push(listenerJson(id, hosts, withId(one, id)));
  }
  return {
    stats_flush_interval: "60s",
    static_resources: {
      listeners: [
        ...(shared.length === 0 ? [] : [listenerJson(sharedListener, shared, {})]),
        ...listeners,
        ...(table.listeners ?? []),
      ],
      clusters: [...clusters, ...(table.clusters ?? [])],
    },
    admin: { address: address("port:any") },
    ...table.bootstrap,
  };
}

function address(port: string): Json {
  return { socket_address: { address: "127.0.0.1", port_value: port } };
}

function virtualHostsOf(one: Case): readonly Json[] {
  if (one.virtualHosts !== undefined) return one.virtualHosts;
  const domains = ["{id}.test", "{id}.test:80", "{id}.test:8080"];
  return [{ name: "{id}", domains, routes: one.routes ?? [forward()], ...one.virtualHost }];
}

function clustersOf(one: Case, id: string): Json[] {
  const given = { "": { $backends: ["a"] }, ...one.clusters } as Readonly<Record<string, Json>>;
  return Object.entries(withId(given, id)).map(([suffix, { $backends, ...fields }]) => ({
    name: `${id}${suffix}`,
    type: "STATIC",
    ...($backends === undefined
      ? {}
      : {
          load_assignment: {
            cluster_name: `${id}${suffix}`,
            endpoints: [{ lb_endpoints: ($backends as readonly BackendName[]).map((name) => endpoint(name)) }],
          },
        }),
    ...fields,
  }));
}

const type = "type.googleapis.com/envoy.extensions";

function listenerJson(
  name: string,
  virtualHosts: readonly Json[],
  { manager, routeConfig, listener, filterChain }: Omit<Case, "name" | "exchanges">,
): Json {
  const fields = {
    "@type": `${type}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
    stat_prefix: name,
    route_config: { name: `routes-of-${name}`, virtual_hosts: virtualHosts, ...routeConfig },
    http_filters: [router],
    access_log: [accessLog(name)],
    ...manager,
  };
  const chain = { filters: [{ name: "http", typed_config: fields }], ...filterChain };
  return { name, address: address("port:any"), filter_chains: [chain], ...listener };
}

/** What is compared of a request's record, by name. */
const logged: Readonly<Record<string, string>> = {
  method: "%REQ(:METHOD)%",
  path: "%REQ(:PATH)%",
  original_path: "%REQ(X-ENVOY-ORIGINAL-PATH)%",
  authority: "%REQ(:AUTHORITY)%",
  protocol: "%PROTOCOL%",
  code: "%RESPONSE_CODE%",
  flags: "%RESPONSE_FLAGS%",
  details: "%RESPONSE_CODE_DETAILS%",
  termination: "%CONNECTION_TERMINATION_DETAILS%",
  failure: "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
  received: "%BYTES_RECEIVED%",
  sent: "%BYTES_SENT%",
  route: "%ROUTE_NAME%",
  cluster: "%UPSTREAM_CLUSTER%",
  host: "%UPSTREAM_HOST%",
  upstream_protocol: "%UPSTREAM_PROTOCOL%",
  attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
  virtual_cluster: "%VIRTUAL_CLUSTER_NAME%",
  grpc: "%GRPC_STATUS%",
  client: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
};

/** The record of a request on a listener; more operators may be added, by name. */
export function accessLog(listener: string, more: Readonly<Record<string, string>> = {}): Json {
  const fields = Object.entries({ ...logged, ...more }).map(([name, operator]) => `${name}=${operator}`);
  return {
    name: "file",
    typed_config: {
      "@type": `${type}.access_loggers.file.v3.FileAccessLog`,
      path: "{log}",
      log_format: {
        text_format_source: { inline_string: `${listener} %REQ(X-CASE)% ${fields.join(" | ")}\n` },
      },
    },
  };
}
