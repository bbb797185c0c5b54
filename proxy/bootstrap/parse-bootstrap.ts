/** `envoy.config.bootstrap.v3.Bootstrap` → model. Every field is read, refused by name, or ignored for a reason given here. */
import type { Problem } from "#lib/problem.ts";
import { unpackAny } from "#protos/any.ts";
import type { Bootstrap, Bootstrap_DynamicResources } from "#protos/gen/envoy/config/bootstrap/v3/bootstrap_pb.js";
import type { ClusterManager } from "#protos/gen/envoy/config/bootstrap/v3/bootstrap_pb.js";
import type { TypedExtensionConfig } from "#protos/gen/envoy/config/core/v3/extension_pb.js";
import type { InternalListener } from "#protos/gen/envoy/extensions/bootstrap/internal_listener/v3/internal_listener_pb.js";
import type { WorkloadIdentity } from "#protos/gen/glassmesh/config/v1/workload_identity_pb.js";
import { MessageReader } from "#protos/reader.ts";
import { durationMs } from "../config-values.ts";
import { completeNode } from "./node.ts";
import { parseAdmin } from "./parse-admin.ts";
import { parseGrpcSource } from "./parse-grpc-source.ts";
import { parseRuntimeLayers } from "./parse-runtime.ts";
import type { BootstrapModel } from "./model.ts";

const DEFAULT_FLUSH_INTERVAL_MS = 5000;

/** Undefined when an error leaves no model; the problems say which. */
export function parseBootstrap(message: Bootstrap, problems: Problem[]): BootstrapModel | undefined {
  const reader = new MessageReader(message, "", problems);
  ignoreWhatHasNoEffect(reader);
  const node = completeNode(reader.get("node"));
  const admin = reader.child("admin");
  const statics = reader.child("staticResources");
  const clusters = statics?.get("clusters") ?? [];
  const listeners = statics?.get("listeners") ?? [];
  const secrets = statics?.get("secrets") ?? [];
  statics?.finish();
  const dynamic = reader.child("dynamicResources");
  const clusterManager = parseClusterManager(reader.child("clusterManager"));
  const runtime = reader.child("layeredRuntime");
  const statsFlush = reader.get("statsFlush");
  const stats = {
    config: reader.get("statsConfig"),
    flushIntervalMs: durationMs(reader.get("statsFlushInterval")) ?? DEFAULT_FLUSH_INTERVAL_MS,
    flushOnAdmin: statsFlush.case === "statsFlushOnAdmin",
  };
  const model: BootstrapModel = {
    message,
    node,
    admin: admin === undefined ? undefined : parseAdmin(admin),
    clusters,
    listeners,
    secrets,
    ...parseDynamicResources(dynamic),
    ...clusterManager,
    stats,
    runtimeLayers: runtime === undefined ? [] : parseRuntimeLayers(runtime),
    ...parseExtensions(reader),
  };
  acceptDefaultExtension(reader, "defaultRegexEngine", ["envoy.extensions.regex_engines.v3.GoogleRE2"]);
  acceptDefaultExtension(reader, "listenerManager", ["envoy.config.listener.v3.ListenerManager"]);
  acceptDefaultExtension(reader, "typedDnsResolverConfig", [
    "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
    "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig",
  ]);
  reader.finish();
  checkNames(model, problems);
  return problems.some(({ level }) => level === "error") ? undefined : model;
}

/** The list of fields without effect; docs/bootstrap.md repeats it. */
function ignoreWhatHasNoEffect(reader: MessageReader<Bootstrap>): void {
  reader.ignore("watchdog", "one event loop: there is no second thread to watch it");
  reader.ignore("watchdogs", "one event loop: there is no second thread to watch it");
  reader.ignore("deferredStatOptions", "statistics are made when they are first used anyway");
  reader.ignore("enableDispatcherStats", "there is no dispatcher");
  reader.ignore("inlineHeaders", "only says how Envoy stores headers");
  reader.ignore("memoryAllocatorManager", "there is no tcmalloc");
  reader.ignore("grpcAsyncClientManagerConfig", "only says how long Envoy keeps idle clients");
  reader.ignore("statsEvictionInterval", "statistics are few and stay");
  reader.ignore("enableWorkerCpuAffinity", "the system places the threads of workers");
}

function parseDynamicResources(
  reader: MessageReader<Bootstrap_DynamicResources> | undefined,
): Pick<BootstrapModel, "ads" | "cds" | "lds"> {
  if (reader === undefined) return { ads: undefined, cds: undefined, lds: undefined };
  const ads = reader.child("adsConfig");
  const sources = { cds: reader.get("cdsConfig"), lds: reader.get("ldsConfig") };
  reader.finish();
  for (const field of ["cdsConfig", "ldsConfig"] as const) {
    if (reader.message[field]?.configSourceSpecifier.case === "ads" && ads === undefined) {
      reader.invalid(field, "ads: {} needs dynamic_resources.ads_config");
    }
  }
  return { ads: ads === undefined ? undefined : parseGrpcSource(ads), ...sources };
}

function parseClusterManager(
  reader: MessageReader<ClusterManager> | undefined,
): Pick<BootstrapModel, "localClusterName" | "outlierEventLog"> {
  if (reader === undefined) return { localClusterName: "", outlierEventLog: "" };
  reader.ignore("enableDeferredClusterCreation", "clusters are cheap");
  const localClusterName = reader.get("localClusterName");
  const outlier = reader.child("outlierDetection");
  const outlierEventLog = outlier?.get("eventLogPath") ?? "";
  outlier?.finish();
  reader.finish();
  return { localClusterName, outlierEventLog };
}

interface Extensions {
  readonly identity: WorkloadIdentity | undefined;
  readonly internalListeners: BootstrapModel["internalListeners"];
}

function parseExtensions(reader: MessageReader<Bootstrap>): Extensions {
  let identity: WorkloadIdentity | undefined;
  let internalListeners: BootstrapModel["internalListeners"];
  for (const extension of reader.children("bootstrapExtensions")) {
    const { value, problems } = unpackExtension(extension);
    reader.problems.push(...problems);
    switch (value?.$typeName) {
      case undefined:
        break;
      case "glassmesh.config.v1.WorkloadIdentity":
        if (identity !== undefined) extension.invalid("typedConfig", "there is a glassmesh.identity already");
        identity = value as WorkloadIdentity;
        break;
      case "envoy.extensions.bootstrap.internal_listener.v3.InternalListener":
        internalListeners = parseInternalListener(
          new MessageReader(value as InternalListener, extension.at("typedConfig"), reader.problems),
        );
        break;
      default:
        extension.unsupported("typedConfig", `the bootstrap extension ${value?.$typeName} is not supported; remove it`);
    }
  }
  return { identity, internalListeners };
}

function parseInternalListener(reader: MessageReader<InternalListener>): BootstrapModel["internalListeners"] {
  const bufferBytes = (reader.get("bufferSizeKb") ?? 1024) * 1024;
  reader.finish();
  return { bufferBytes };
}

function unpackExtension(reader: MessageReader<TypedExtensionConfig>): ReturnType<typeof unpackAny> {
  reader.ignore("name", "the type says what it is");
  const any = reader.get("typedConfig");
  reader.finish();
  return any === undefined ? { problems: [] } : unpackAny(any, reader.at("typedConfig"));
}

/** Fields in which a bootstrap may name the implementation that is in force anyway, with nothing set in it. */
function acceptDefaultExtension(
  reader: MessageReader<Bootstrap>,
  field: "defaultRegexEngine" | "listenerManager" | "typedDnsResolverConfig",
  typeNames: readonly string[],
): void {
  const extension = reader.child(field);
  if (extension === undefined) return;
  const { value, problems } = unpackExtension(extension);
  reader.problems.push(...problems);
  if (value === undefined) return;
  if (!typeNames.includes(value.$typeName)) {
    extension.unsupported("typedConfig", `${value.$typeName} is not supported; known are ${typeNames.join(", ")}`);
    return;
  }
  new MessageReader(value, extension.at("typedConfig"), reader.problems).finish();
}

function checkNames(model: BootstrapModel, problems: Problem[]): void {
  const invalid = (path: string, message: string): void => {
    problems.push({ code: "invalid-value", level: "error", path, message });
  };
  for (const [kind, list] of [
    ["clusters", model.clusters],
    ["listeners", model.listeners],
    ["secrets", model.secrets],
  ] as const) {
    const seen = new Set<string>();
    for (const [index, { name }] of list.entries()) {
      if (name !== "" && seen.has(name)) invalid(`static_resources.${kind}[${index}].name`, `duplicate name ${name}`);
      seen.add(name);
    }
  }
  const { ads } = model;
  if (ads !== undefined && !model.clusters.some(({ name }) => name === ads.clusterName)) {
    invalid(
      "dynamic_resources.ads_config.grpc_services[0].envoy_grpc.cluster_name",
      `no static cluster ${ads.clusterName}: add it to static_resources.clusters`,
    );
  }
  if ((model.cds !== undefined || model.lds !== undefined) && (model.node.id === "" || model.node.cluster === "")) {
    invalid(
      "node",
      "node 'id' and 'cluster' are required with dynamic resources: set them, or --service-node and --service-cluster",
    );
  }
}
