/**
 * Proxies that get the same clusters, endpoints and routes for what they call: in a large mesh there are few kinds of
 * them, and each is translated once.
 */
import type { MeshIndex } from "../model/mesh-index.ts";
import { fieldsOf, listOf, stringOf } from "../model/read-fields.ts";
import { memoized, memoizedByShape } from "./memo.ts";
import { viewOf, type View } from "./view.ts";

/** What a node says that is the proxy's own and decides nothing about what it calls. */
const PERSONAL: ReadonlySet<string> = new Set([
  "ANNOTATIONS",
  "APP_CONTAINERS",
  "INSTANCE_IPS",
  "LABELS",
  "NAME",
  "NODE_NAME",
  "OWNER",
  "POD_PORTS",
  "SERVICE_ACCOUNT",
  "WORKLOAD_NAME",
]);

/** Objects whose selectors decide about what a proxy calls. */
const SELECTING_KINDS = ["DestinationRule", "EnvoyFilter", "Sidecar", "VirtualService"];

/** The view that stands for all proxies of this one's class; its own for what is translated alone. */
export function outboundView(view: View): View {
  const { proxy, mesh } = view;
  if (proxy.type !== "sidecar" || proxy.placement !== undefined) return view;
  const classes = classesOf(mesh);
  const key = classKey(view);
  const known = classes.get(key);
  if (known !== undefined) return known;
  // A view of its own: what is worked out for the class is not charged to one of its proxies.
  const made = viewOf(mesh, proxy);
  classes.set(key, made);
  return made;
}

const classesOf = memoized((_mesh: MeshIndex) => new Map<string, View>());

function classKey({ proxy, mesh, labels, locality }: View): string {
  const mentioned = mentionedLabels(mesh);
  const { metadata } = proxy;
  const nodeName = mentioned.keys.has("kubernetes.io/hostname") ? metadata["NODE_NAME"] : undefined;
  return JSON.stringify([
    proxy.namespace,
    proxy.ipAddresses.map((address) => address.includes(":")),
    proxy.dnsDomain,
    proxy.clusterId,
    proxy.network,
    proxy.interceptionMode,
    locality,
    nodeName,
    proxy.extensions === undefined ? undefined : [...proxy.extensions].toSorted(),
    Object.entries(metadata)
      .filter(([name]) => !PERSONAL.has(name))
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
    Object.entries(labels)
      .filter(([name, value]) => mentioned.keys.has(name) || mentioned.pairs.has(`${name}=${value}`))
      .toSorted(([a], [b]) => (a < b ? -1 : 1)),
  ]);
}

interface Mentioned {
  /** Labels whose value counts, whatever it is. */
  readonly keys: ReadonlySet<string>;
  /** `name=value` of selectors. */
  readonly pairs: ReadonlySet<string>;
}

const mentionedLabels = memoizedByShape((mesh: MeshIndex): Mentioned => {
  const keys = new Set<string>();
  const pairs = new Set<string>();
  const look = (value: unknown): void => {
    if (Array.isArray(value)) return value.forEach(look);
    if (typeof value !== "object" || value === null) return;
    for (const [name, item] of Object.entries(value)) {
      if (/^(labels|matchLabels|sourceLabels)$/.test(name)) {
        for (const [label, wanted] of Object.entries(fieldsOf(item))) pairs.add(`${label}=${String(wanted)}`);
      }
      if (name === "failoverPriority")
        for (const key of listOf(item)) keys.add((stringOf(key) ?? "").split("=")[0] ?? "");
      look(item);
    }
  };
  for (const kind of SELECTING_KINDS) for (const { spec } of mesh.objects(kind)) look(spec);
  look(mesh.meshConfig.raw["localityLbSetting"]);
  // A Service's `trafficDistribution` may prefer the proxy's own node.
  const isNear = ({ object }: MeshIndex["services"][number]): boolean =>
    /samenode/i.test(
      `${stringOf(fieldsOf(object.spec)["trafficDistribution"]) ?? ""} ${object.metadata.annotations["networking.istio.io/traffic-distribution"] ?? ""}`,
    );
  if (mesh.services.some(isNear)) keys.add("kubernetes.io/hostname");
  return { keys, pairs };
});
