/** The sections of `/config_dump`, made of what is in force. */
import type { Message } from "@bufbuild/protobuf";
import { typeUrlOf } from "#protos/any.ts";
import { messageToJson } from "#protos/json.ts";
import type { DumpElement, DumpSection } from "../admin/config-dump.ts";
import type { JsonObject } from "../admin/field-mask.ts";
import type { ConfigRecord, ConfigRecords, RefusedRecord } from "./config-records.ts";

export interface DumpInputs {
  readonly bootstrap: Message;
  readonly bootstrapLoadedMs: number;
  readonly clusters: ConfigRecords;
  /** Names of clusters that wait for their endpoints or secrets. */
  readonly warmingClusters: ReadonlySet<string>;
  readonly listeners: ConfigRecords;
  readonly warmingListeners: ReadonlySet<string>;
  readonly routes: ConfigRecords;
  readonly extensions: ConfigRecords;
  readonly endpoints: readonly { readonly name: string; readonly isDynamic: boolean; readonly json: JsonObject }[];
  readonly secrets: readonly SecretEntry[];
}

export interface SecretEntry {
  readonly name: string;
  readonly kind: "static" | "active" | "warming";
  readonly version: string;
  readonly lastUpdatedMs: number;
  /** `envoy.extensions.transport_sockets.tls.v3.Secret` without its private key. */
  readonly json: JsonObject;
}

/** In Envoy's order: by the name of the section's kind. */
export function dumpSections(inputs: DumpInputs, includeEds: boolean): readonly DumpSection[] {
  return [
    {
      type: "BootstrapConfigDump",
      fields: { bootstrap: toJson(inputs.bootstrap), last_updated: time(inputs.bootstrapLoadedMs) },
      lists: {},
    },
    clustersSection(inputs),
    ...extensionsSection(inputs.extensions),
    ...(includeEds ? [endpointsSection(inputs)] : []),
    listenersSection(inputs),
    routesSection(inputs.routes),
    secretsSection(inputs.secrets),
  ];
}

function clustersSection({ clusters, warmingClusters }: DumpInputs): DumpSection {
  const dynamic = [...clusters.dynamic.values()].map((record) => ({
    record,
    element: element(record, {
      ...version(record),
      cluster: anyJson(record.message),
      ...times(record),
      ...errorState(clusters.refused.get(record.name)),
    }),
  }));
  const isWarming = ({ record }: { readonly record: ConfigRecord }): boolean => warmingClusters.has(record.name);
  return {
    type: "ClustersConfigDump",
    fields: versionInfo(clusters),
    lists: {
      static_clusters: list("StaticCluster", clusters.fixed, (record) => ({
        cluster: anyJson(record.message),
        ...times(record),
      })),
      dynamic_active_clusters: {
        elementType: "DynamicCluster",
        elements: dynamic.filter((one) => !isWarming(one)).map((one) => one.element),
      },
      dynamic_warming_clusters: {
        elementType: "DynamicCluster",
        elements: dynamic.filter(isWarming).map((one) => one.element),
      },
    },
  };
}

function endpointsSection({ endpoints }: DumpInputs): DumpSection {
  const of = (isDynamic: boolean): DumpElement[] =>
    endpoints
      .filter((entry) => entry.isDynamic === isDynamic)
      .map(({ name, json }) => ({
        name,
        json: {
          endpoint_config: { "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment", ...json },
        },
      }));
  return {
    type: "EndpointsConfigDump",
    fields: {},
    lists: {
      static_endpoint_configs: { elementType: "StaticEndpointConfig", elements: of(false) },
      dynamic_endpoint_configs: { elementType: "DynamicEndpointConfig", elements: of(true) },
    },
  };
}

function listenersSection({ listeners, warmingListeners }: DumpInputs): DumpSection {
  const elements: DumpElement[] = [];
  const names = new Set([...listeners.dynamic.keys(), ...listeners.refused.keys()]);
  for (const name of [...names].sort()) {
    const record = listeners.dynamic.get(name);
    const refused = errorState(listeners.refused.get(name));
    if (record === undefined) {
      elements.push({ name, json: { name, ...refused } });
      continue;
    }
    const state = { ...version(record), listener: anyJson(record.message), ...times(record) };
    const field = warmingListeners.has(name) ? "warming_state" : "active_state";
    elements.push({ name, json: { name, [field]: state, ...refused } });
  }
  return {
    type: "ListenersConfigDump",
    fields: versionInfo(listeners),
    lists: {
      static_listeners: list("StaticListener", listeners.fixed, (record) => ({
        listener: anyJson(record.message),
        ...times(record),
      })),
      dynamic_listeners: { elementType: "DynamicListener", elements },
    },
  };
}

function routesSection(routes: ConfigRecords): DumpSection {
  return {
    type: "RoutesConfigDump",
    fields: {},
    lists: {
      static_route_configs: list("StaticRouteConfig", routes.fixed, (record) => ({
        route_config: anyJson(record.message),
        ...times(record),
      })),
      dynamic_route_configs: list("DynamicRouteConfig", routes.dynamic, (record) => ({
        ...version(record),
        route_config: anyJson(record.message),
        ...times(record),
        ...errorState(routes.refused.get(record.name)),
      })),
    },
  };
}

/** Left out where nothing has come over ECDS. */
function extensionsSection(extensions: ConfigRecords): readonly DumpSection[] {
  if (extensions.dynamic.size === 0 && extensions.refused.size === 0) return [];
  const filters = list("EcdsFilterConfig", extensions.dynamic, (record) => ({
    ...version(record),
    ecds_filter: anyJson(record.message),
    ...times(record),
    ...errorState(extensions.refused.get(record.name)),
  }));
  return [{ type: "EcdsConfigDump", fields: {}, lists: { ecds_filters: filters } }];
}

function secretsSection(secrets: readonly SecretEntry[]): DumpSection {
  const elements = (kind: SecretEntry["kind"]): DumpElement[] =>
    secrets
      .filter((secret) => secret.kind === kind)
      .map(({ name, version: info, lastUpdatedMs, json }) => ({
        name,
        json: {
          name,
          ...(info === "" ? {} : { version_info: info }),
          last_updated: time(lastUpdatedMs),
          secret: { "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", ...json },
        },
      }));
  return {
    type: "SecretsConfigDump",
    fields: {},
    lists: {
      static_secrets: { elementType: "StaticSecret", elements: elements("static") },
      dynamic_active_secrets: { elementType: "DynamicSecret", elements: elements("active") },
      dynamic_warming_secrets: { elementType: "DynamicSecret", elements: elements("warming") },
    },
  };
}

function list(
  elementType: string,
  records: ReadonlyMap<string, ConfigRecord>,
  jsonOf: (record: ConfigRecord) => JsonObject,
) {
  return { elementType, elements: [...records.values()].map((record) => element(record, jsonOf(record))) };
}

function element(record: ConfigRecord, json: JsonObject): DumpElement {
  return { name: record.name, json };
}

function errorState(refused: RefusedRecord | undefined): JsonObject {
  if (refused === undefined) return {};
  return {
    error_state: {
      ...(refused.message === undefined ? {} : { failed_configuration: anyJson(refused.message) }),
      last_update_attempt: time(refused.lastAttemptMs),
      details: refused.details,
      version_info: refused.version,
    },
  };
}

/** `google.protobuf.Any` in JSON. */
export function anyJson(message: Message): JsonObject {
  return { "@type": typeUrlOf(message.$typeName), ...toJson(message) };
}

function toJson(message: Message): JsonObject {
  return messageToJson(message, { snakeCase: true, redact: true }) as JsonObject;
}

function versionInfo(records: ConfigRecords): JsonObject {
  return records.versionInfo === "" ? {} : { version_info: records.versionInfo };
}

function version(record: ConfigRecord): JsonObject {
  return { version_info: record.version };
}

function times(record: ConfigRecord): JsonObject {
  return { last_updated: time(record.lastUpdatedMs) };
}

function time(ms: number): string {
  return new Date(ms).toISOString();
}
