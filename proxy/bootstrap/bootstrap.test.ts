import { describe, expect, test } from "vitest";
import { formatProblem } from "#lib/problem.ts";
import { loadBootstrap } from "./bootstrap.ts";
import type { BootstrapModel } from "./model.ts";

/** What istiod's agent writes, in short. */
const istio = `
node:
  id: sidecar~10.0.0.1~a-1.default~default.svc.cluster.local
  cluster: a.default
  locality: {region: r, zone: z}
  metadata: {INSTANCE_IPS: 10.0.0.1, LABELS: {app: a}}
layered_runtime:
  layers:
  - name: global config
    static_layer: {"envoy.deprecated_features:x": true, re2.max_program_size.error_level: "32768"}
  - {name: admin, admin_layer: {}}
bootstrap_extensions:
- name: envoy.bootstrap.internal_listener
  typed_config:
    "@type": type.googleapis.com/udpa.type.v1.TypedStruct
    type_url: type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener
    value: {buffer_size_kb: 64}
stats_config:
  use_all_default_tags: false
  stats_tags: [{tag_name: cluster_name, regex: '^cluster\\.((.+?)\\.)'}]
  stats_matcher: {inclusion_list: {patterns: [{prefix: istio}]}}
admin:
  access_log:
  - name: envoy.access_loggers.file
    typed_config: {"@type": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog, path: /dev/null}
  profile_path: /var/lib/istio/data/envoy.prof
  address: {socket_address: {address: 127.0.0.1, port_value: 15000}}
dynamic_resources:
  lds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
  cds_config: {ads: {}, initial_fetch_timeout: 0s, resource_api_version: V3}
  ads_config:
    api_type: DELTA_GRPC
    set_node_on_first_message_only: true
    transport_api_version: V3
    grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]
static_resources:
  clusters:
  - name: xds-grpc
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: xds-grpc
      endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: ./etc/istio/proxy/XDS}}}}]}]
  listeners:
  - name: prometheus
    address: {socket_address: {address: 0.0.0.0, port_value: 15090}}
`;

function load(text: string, overrides?: Parameters<typeof loadBootstrap>[1]): BootstrapModel {
  const { value, problems } = loadBootstrap(text, overrides);
  if (value === undefined) throw new Error(problems.map(formatProblem).join("\n"));
  return value;
}

function refusals(text: string): string[] {
  const { value, problems } = loadBootstrap(text, { file: "b.yaml" });
  expect(value).toBeUndefined();
  return problems.map(formatProblem);
}

describe("a bootstrap of istio-agent", () => {
  test("is read without a complaint", () => {
    expect(loadBootstrap(istio).problems).toEqual([]);
  });

  test("says who the node is, where the admin interface is, where configuration comes from", () => {
    const model = load(istio);
    expect(model.node).toMatchObject({
      id: "sidecar~10.0.0.1~a-1.default~default.svc.cluster.local",
      locality: { region: "r", zone: "z" },
      metadata: { LABELS: { app: "a" } },
      userAgentName: "glassmesh",
    });
    expect(model.admin).toMatchObject({ address: { kind: "ip", address: "127.0.0.1", port: 15000 } });
    expect(model.ads).toEqual({
      protocol: "delta",
      clusterName: "xds-grpc",
      authority: "",
      initialMetadata: [],
      maxReceiveMessageBytes: undefined,
      backOff: { baseMs: 500, maxMs: 30_000 },
      rateLimit: undefined,
      setNodeOnFirstMessageOnly: true,
    });
    expect(model.cds?.configSourceSpecifier.case).toBe("ads");
    expect(model.listeners.map(({ name }) => name)).toEqual(["prometheus"]);
    expect(model.runtimeLayers.map(({ kind, name }) => `${kind} ${name}`)).toEqual([
      "static global config",
      "admin admin",
    ]);
    expect(model.stats.config?.statsTags.length).toBe(1);
  });
});

describe("the command line", () => {
  test("--config-yaml is merged over the file: messages field by field, lists appended", () => {
    const model = load(istio, {
      configYaml:
        "admin: {address: {socket_address: {port_value: 1}}}\nstatic_resources: {clusters: [{name: more}]}\nstats_flush_interval: 1s",
    });
    expect(model.admin?.address).toEqual({ kind: "ip", address: "127.0.0.1", port: 1 });
    expect(model.clusters.map(({ name }) => name)).toEqual(["xds-grpc", "more"]);
    expect(model.stats.flushIntervalMs).toBe(1000);
  });

  test("--config-yaml alone is enough", () => {
    const { value } = loadBootstrap(undefined, { configYaml: "node: {id: a}" });
    expect(value?.node.id).toBe("a");
  });

  test("--service-node, --service-cluster and --service-zone replace what the node says", () => {
    const { node } = load(istio, { serviceNode: "n", serviceCluster: "c", serviceZone: "y" });
    expect(node).toMatchObject({ id: "n", cluster: "c", locality: { region: "r", zone: "y" } });
  });
});

describe("refused, with file, line and column", () => {
  test("an unknown key, by message and key", () => {
    expect(refusals("admin:\n  adress: {}\n")).toEqual([
      "b.yaml:2:3: admin.adress: unknown field adress: envoy.config.bootstrap.v3.Admin has no field of this name",
    ]);
  });

  test("a value of the wrong kind, at its place", () => {
    expect(refusals("static_resources:\n  clusters:\n  - name: a\n    connect_timeout: 5\n")).toEqual([
      "b.yaml:4:5: static_resources.clusters[0].connect_timeout: cannot decode message google.protobuf.Duration from JSON: 5",
    ]);
  });

  test("a broken rule, in Envoy's words", () => {
    expect(refusals('static_resources:\n  clusters:\n  - {name: ""}\n')).toEqual([
      "b.yaml:3:6: static_resources.clusters[0].name: Proto constraint validation failed (BootstrapValidationError.StaticResources: " +
        "embedded message failed validation | caused by StaticResourcesValidationError.Clusters[0]: embedded message failed " +
        "validation | caused by ClusterValidationError.Name: value length must be at least 1 characters)",
    ]);
  });

  test("a broken rule inside an Any", () => {
    const [message] = refusals(
      'static_resources:\n  listeners:\n  - filter_chains:\n    - filters:\n      - name: hcm\n        typed_config:\n          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager\n          stat_prefix: ""\n          route_config: {}\n',
    );
    expect(message).toBe(
      "b.yaml:8:11: static_resources.listeners[0].filter_chains[0].filters[0].typed_config.stat_prefix: " +
        "Proto constraint validation failed (HttpConnectionManagerValidationError.StatPrefix: value length must be at least 1 characters)",
    );
  });

  test("dynamic resources without an id of the node", () => {
    expect(refusals("dynamic_resources: {cds_config: {path: /x}}").join()).toContain(
      "node 'id' and 'cluster' are required",
    );
  });

  test("ads without ads_config, and a cluster that is not there", () => {
    const text = istio.replace(/ {2}ads_config:[^]*?static_resources/, "static_resources");
    expect(refusals(text).join()).toContain("ads: {} needs dynamic_resources.ads_config");
    expect(refusals(istio.replace("cluster_name: xds-grpc}", "cluster_name: other}")).join()).toContain(
      "no static cluster other",
    );
  });

  test("two clusters of one name", () => {
    expect(refusals("static_resources: {clusters: [{name: a}, {name: a}]}")[0]).toContain(
      "static_resources.clusters[1].name: duplicate name a",
    );
  });

  test.each([
    ["flags_path: x", "flags_path"],
    ["hds_config: {}", "hds_config"],
    ["stats_sinks: [{name: x}]", "stats_sinks"],
    ["tracing: {http: {name: x}}", "tracing"],
    ["overload_manager: {resource_monitors: [{name: x}]}", "overload_manager"],
    ["header_prefix: x", "header_prefix"],
    ["stats_server_version_override: 1", "stats_server_version_override"],
    ["use_tcp_for_dns_lookups: true", "use_tcp_for_dns_lookups"],
    [
      'fatal_actions: [{config: {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.wasm.v3.WasmService}}}]',
      "fatal_actions",
    ],
    ["config_sources: [{self: {}}]", "config_sources"],
    ["default_config_source: {self: {}}", "default_config_source"],
    ["default_socket_interface: x", "default_socket_interface"],
    [
      'certificate_provider_instances: {a: {name: b, typed_config: {"@type": type.googleapis.com/envoy.extensions.wasm.v3.WasmService}}}',
      "certificate_provider_instances",
    ],
    ["perf_tracing_file_path: x", "perf_tracing_file_path"],
    ["node_context_params: [x]", "node_context_params"],
    ["application_log_config: {}", "application_log_config"],
    ["cluster_manager: {upstream_bind_config: {}}", "cluster_manager.upstream_bind_config"],
    [
      "cluster_manager: {outlier_detection: {event_service: {grpc_service: {envoy_grpc: {cluster_name: x}}}}}",
      "cluster_manager.outlier_detection.event_service",
    ],
    ["dynamic_resources: {lds_resources_locator: x}", "dynamic_resources.lds_resources_locator"],
    ["admin: {address: {pipe: {path: x}}, allow_paths: [{exact: x}]}", "admin.allow_paths"],
    ["admin: {access_log_path: /tmp/x}", "admin.access_log_path"],
    ["layered_runtime: {layers: [{name: a, disk_layer: {symlink_root: x}}]}", "layered_runtime.layers[0].disk_layer"],
    [
      'bootstrap_extensions: [{name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.wasm.v3.WasmService}}]',
      "bootstrap_extensions[0].typed_config",
    ],
    [
      'default_regex_engine: {name: x, typed_config: {"@type": type.googleapis.com/envoy.extensions.wasm.v3.WasmService}}',
      "default_regex_engine.typed_config",
    ],
  ])("%s is not supported, and named", (text, path) => {
    const { value, problems } = loadBootstrap(text);
    expect(value).toBeUndefined();
    expect(problems.map((problem) => `${problem.code} ${problem.path}`)).toEqual([`unsupported-field ${path}`]);
  });
});

test("a runtime key that a user relies on is warned about", () => {
  const { value, problems } = loadBootstrap(
    "layered_runtime: {layers: [{name: a, static_layer: {upstream.healthy_panic_threshold: 1, envoy.reloadable_features.x: true}}]}",
  );
  expect(value).toBeDefined();
  expect(problems.map(({ level, path }) => `${level} ${path}`)).toEqual([
    "warning layered_runtime.layers[0].static_layer[upstream.healthy_panic_threshold]",
  ]);
});
