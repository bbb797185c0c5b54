/**
 * What istioctl asks over xDS: `istio.io/debug/syncz`, `istio.io/debug/config_dump`, and every page of `/debug` as
 * `istio.io/debug` (istiod: pilot/pkg/xds/statusgen.go, debuggen.go). Who is not of the system namespace sees proxies of
 * its own namespace only, and of the pages those that are about one.
 */
import { toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { messageFromJson } from "#protos/json.ts";
import { descOf } from "#protos/registry.ts";
import type { ConnectedProxy } from "../xds/ads-server.ts";
import type { AnswerDebug, DebugRefusal, DebugResource } from "../xds/debug-requests.ts";
import type { SubscriptionStatus } from "../xds/subscription.ts";
import { answerDebug } from "./debug-server.ts";
import type { DebugView } from "./debug-view.ts";
import { configDump } from "./proxies.ts";

/** Pages that any namespace may ask for, about its own proxies. */
const OPEN_PAGES: ReadonlySet<string> = new Set(["config_dump", "ndsz", "edsz"]);

export function createDebugOverXds(view: DebugView): AnswerDebug {
  return ({ typeUrl, names, callerNamespace }) => {
    const isSystem = callerNamespace === view.mesh().meshConfig.rootNamespace;
    const seen = isSystem ? view : onlyOf(view, callerNamespace);
    const [name] = names;
    switch (typeUrl) {
      case "istio.io/debug/syncz":
        return seen.connections().map(clientConfig);
      case "istio.io/debug/config_dump":
        return name === undefined || names.length > 1 ? [] : dumpOf(seen, name);
      case "istio.io/debug":
        if (name === undefined || names.length > 1) {
          return { code: status.INVALID_ARGUMENT, reason: "name exactly one page, as syncz." };
        }
        return page(seen, name, isSystem);
      default:
        return { code: status.INVALID_ARGUMENT, reason: `${typeUrl} is not served: ask for istio.io/debug.` };
    }
  };
}

function onlyOf(view: DebugView, namespace: string): DebugView {
  return { ...view, connections: () => view.connections().filter(({ node }) => node.namespace === namespace) };
}

function page(view: DebugView, name: string, isSystem: boolean): readonly DebugResource[] | DebugRefusal {
  const url = URL.parse(`/debug/${name}`, "http://control-plane");
  const page = url?.pathname.slice("/debug/".length) ?? "";
  if (url === null || (!isSystem && !OPEN_PAGES.has(page))) {
    const reason = `${JSON.stringify(page)} is for the system namespace; yours may ask for ${[...OPEN_PAGES].join(", ")}.`;
    return { code: status.PERMISSION_DENIED, reason };
  }
  return [{ name, typeUrl: "istio.io/debug", bytes: Buffer.from(answerDebug(view, url).body) }];
}

/** envoy.service.status.v3.ClientConfig, called as istioctl calls proxies. */
function clientConfig(proxy: ConnectedProxy): DebugResource {
  const types = [...proxy.statuses()].toSorted(([a], [b]) => (a.typeUrl < b.typeUrl ? -1 : 1));
  const json = {
    node: {
      id: proxy.proxyName,
      metadata: { CLUSTER_ID: proxy.node.clusterId, NAMESPACE: proxy.node.namespace, ISTIO_VERSION: proxy.version },
    },
    genericXdsConfigs: types.map(([{ typeUrl }, state]) => ({
      typeUrl,
      configStatus: statusOf(state),
      ...(state.nack !== undefined && { errorState: { details: state.nack.detail } }),
    })),
  };
  return encoded("envoy.service.status.v3.ClientConfig", json, proxy.proxyName);
}

function statusOf({ state }: SubscriptionStatus): string {
  if (state === "NACK") return "ERROR";
  return state === "NOT SENT" ? "NOT_SENT" : state;
}

/** The parts of the dump, each an Any; nothing for a proxy that is not connected. */
function dumpOf(view: DebugView, proxyId: string): readonly DebugResource[] {
  const answer = configDump(view, proxyId);
  if (answer.status !== 200) return [];
  const { configs } = JSON.parse(answer.body) as { readonly configs: readonly Readonly<Record<string, unknown>>[] };
  return configs.map(({ "@type": type, ...json }) => encoded(String(type).replace(/.*\//, ""), json, ""));
}

function encoded(typeName: string, json: unknown, name: string): DebugResource {
  const { value, problems } = messageFromJson(typeName, json);
  if (value === undefined) throw new Error(`no ${typeName}: ${problems[0]?.message ?? ""}`);
  return { name, typeUrl: `type.googleapis.com/${typeName}`, bytes: toBinary(descOf(value), value) };
}
