/** What VirtualServices refer to, and whom they contradict. */
import { fieldsOf, listOf, stringOf, stringsOf, type Fields } from "../../model/read-fields.ts";
import { hostsOverlap } from "../../validate/check-strings.ts";
import { fullName, type AnalyzedObject } from "../analyzed-object.ts";
import type { AnalysisContext, Analyzer } from "../analyzer.ts";
import { matchesLabels, stringMapOf } from "../../model/read-fields.ts";
import { routeDestinations, type RouteDestination } from "./destinations.ts";
import { exportScopes, hostOwners, ownerOfHost, scopedHost, serviceNameOf, type HostOwner } from "./hosts.ts";

const MESH = "mesh";

export const conflictingMeshGatewayHosts: Analyzer = {
  name: "virtualservice.ConflictingMeshGatewayHostsAnalyzer",
  description: "Two VirtualServices on the mesh gateway do not share a host",
  inputs: ["VirtualService"],
  analyze(context) {
    const byHost = new Map<string, AnalyzedObject[]>();
    for (const item of context.all("VirtualService")) {
      const gateways = stringsOf(item.spec["gateways"]);
      if (gateways.length > 0 && !gateways.includes(MESH)) continue;
      for (const scope of exportScopes(stringsOf(item.spec["exportTo"]), item.namespace)) {
        for (const host of stringsOf(item.spec["hosts"])) {
          const key = scopedHost(scope, item.namespace, host);
          byHost.set(key, [...(byHost.get(key) ?? []), item]);
        }
      }
    }
    const reported = new Set<AnalyzedObject>();
    for (const [key, own] of byHost) {
      const items = key.startsWith("*/") ? own : [...own, ...exportedToAll(key, byHost)];
      if (items.length < 2) continue;
      const names = items.map(fullName).sort().join(", ");
      for (const item of items) {
        if (reported.has(item)) continue;
        reported.add(item);
        const message = `the VirtualServices ${names} are all on the mesh gateway and define the same host ${key}; which of them counts is not defined. Merge them into one.`;
        context.report("IST0109", item, message, "metadata.name");
      }
    }
  },
};

function exportedToAll(key: string, byHost: ReadonlyMap<string, readonly AnalyzedObject[]>): readonly AnalyzedObject[] {
  const host = key.slice(key.indexOf("/") + 1);
  return [...byHost]
    .filter(([other]) => other.startsWith("*/") && hostsOverlap(host, other.slice(2)))
    .flatMap(([, items]) => items);
}

export const destinationRules: Analyzer = {
  name: "virtualservice.DestinationRuleAnalyzer",
  description: "A DestinationRule defines each subset that a VirtualService routes to",
  inputs: ["VirtualService", "DestinationRule"],
  analyze(context) {
    const subsets = new Set<string>();
    for (const { spec, namespace } of context.all("DestinationRule")) {
      const service = serviceNameOf(namespace, stringOf(spec["host"]) ?? "");
      for (const subset of listOf(spec["subsets"]))
        subsets.add(`${service} ${stringOf(fieldsOf(subset)["name"]) ?? ""}`);
    }
    for (const item of context.all("VirtualService")) {
      for (const { host, subset, path, isMirror } of routeDestinations(item.spec)) {
        if (subset === "" || subsets.has(`${serviceNameOf(item.namespace, host)} ${subset}`)) continue;
        const what = isMirror ? "mirrors to" : "routes to";
        const message = `${what} the subset ${JSON.stringify(subset)} of ${host}, which no DestinationRule defines: "${host}+${subset}". Add it to spec.subsets of a DestinationRule for ${host}.`;
        context.report("IST0101", item, message, path);
      }
    }
  },
};

export const destinationHosts: Analyzer = {
  name: "virtualservice.DestinationHostAnalyzer",
  description: "The hosts that VirtualServices route to exist, with their ports",
  inputs: ["ServiceEntry", "VirtualService", "Service"],
  analyze(context) {
    const owners = hostOwners(context);
    const withSubsets = destinationsWithSubsets(context);
    for (const item of context.all("VirtualService")) {
      for (const destination of routeDestinations(item.spec)) checkDestination(context, item, destination, owners);
      checkIngressSubsets(context, item, withSubsets);
    }
  },
};

function checkDestination(
  context: AnalysisContext,
  item: AnalyzedObject,
  { host, port, path, isMirror }: RouteDestination,
  owners: ReadonlyMap<string, HostOwner>,
): void {
  const owner = ownerOfHost(owners, item, host);
  if (owner === undefined) {
    const what = isMirror ? "mirrors to" : "routes to";
    const message = `${what} the host ${JSON.stringify(host)}, which no Service and no ServiceEntry defines.`;
    context.report("IST0101", item, message, path);
  } else if (port === undefined && owner.ports.length > 1) {
    const message = `routes to ${host}, which has the ports ${owner.ports.join(", ")}; say which by destination.port.number.`;
    context.report("IST0112", item, message, path);
  } else if (port !== undefined && !owner.ports.includes(port)) {
    const message = `routes to "${host}:${port}", but ${host} has the ports ${owner.ports.join(", ") || "(none)"}.`;
    context.report("IST0101", item, message, path);
  }
}

interface SubsetRoute {
  readonly item: AnalyzedObject;
  readonly host: string;
}

function destinationsWithSubsets(context: AnalysisContext): readonly SubsetRoute[] {
  return context.all("VirtualService").flatMap((item) => {
    const hosts = stringsOf(item.spec["hosts"]);
    return routeDestinations(item.spec)
      .filter(
        ({ path, subset, host, isMirror }) =>
          path.startsWith("spec.http") && !isMirror && subset !== "" && hosts.includes(host),
      )
      .map(({ host }) => ({ item, host }));
  });
}

/** A subset that another VirtualService chooses is not chosen for requests that a gateway routes past it. */
function checkIngressSubsets(
  context: AnalysisContext,
  item: AnalyzedObject,
  withSubsets: readonly SubsetRoute[],
): void {
  if (stringsOf(item.spec["gateways"]).length === 0) return;
  for (const { path, subset, host, isMirror } of routeDestinations(item.spec)) {
    if (!path.startsWith("spec.http") || isMirror || subset !== "") continue;
    for (const other of withSubsets.filter((route) => route.host === host)) {
      const message = `requests from the gateway of ${fullName(item)} do not pass ${fullName(other.item)}: its subset has no effect on them. Name the subset here, too.`;
      // istioctl asks for the line with the rule's name in it, which is never found.
      context.report("IST0140", item, message);
    }
  }
}

export const gateways: Analyzer = {
  name: "virtualservice.GatewayAnalyzer",
  description: "The gateways that VirtualServices name exist, and serve their hosts",
  inputs: ["Gateway", "VirtualService"],
  analyze(context) {
    for (const item of context.all("VirtualService")) {
      for (const [index, written] of stringsOf(item.spec["gateways"]).entries()) {
        if (written !== MESH) checkGateway(context, item, written, `spec.gateways[${index}]`);
      }
    }
  },
};

function checkGateway(context: AnalysisContext, item: AnalyzedObject, written: string, path: string): void {
  if (written.slice(written.indexOf("/") + 1).includes("~istio-autogenerated-k8s-gateway~")) {
    const message = `${written} is a gateway that an implementation made for itself; name the Gateway, or attach a route to it.`;
    context.report("IST0165", item, message, path);
    return;
  }
  const gateway = gatewayNamed(context, item.namespace, written);
  if (gateway === undefined)
    context.report("IST0101", item, `names the Gateway "${written}", which does not exist.`, path);
  const served = gateway === undefined ? [] : servedHosts(gateway, item.namespace);
  const hosts = stringsOf(item.spec["hosts"]);
  if (served.some((host) => hosts.some((wanted) => hostsOverlap(host, wanted)))) return;
  const slash = written.indexOf("/");
  const name = slash < 0 ? fullName({ namespace: item.namespace, name: written }) : written;
  const message = `none of its hosts [${hosts.join(" ")}] is served by the Gateway ${name}.`;
  context.report("IST0132", item, message, path);
}

function gatewayNamed(context: AnalysisContext, namespace: string, written: string): AnalyzedObject | undefined {
  const slash = written.indexOf("/");
  return slash < 0
    ? context.find("Gateway", namespace, written)
    : context.find("Gateway", written.slice(0, slash), written.slice(slash + 1));
}

/** The hosts of a Gateway that VirtualServices of `namespace` may bind: `./host`, `*`/host`, `ns/host`, `host`. */
function servedHosts(gateway: AnalyzedObject, namespace: string): readonly string[] {
  return listOf(gateway.spec["servers"])
    .flatMap((server) => stringsOf(fieldsOf(server)["hosts"]))
    .flatMap((host) => {
      const slash = host.indexOf("/");
      if (slash < 0) return [host];
      const from = host.slice(0, slash) === "." ? gateway.namespace : host.slice(0, slash);
      return from === "*" || from === namespace ? [host.slice(slash + 1)] : [];
    });
}

export const jwtClaimRoutes: Analyzer = {
  name: "virtualservice.JWTClaimRouteAnalyzer",
  description: "A gateway whose routes ask for claims of a token has a RequestAuthentication that validates it",
  inputs: ["VirtualService", "RequestAuthentication", "Gateway", "Pod"],
  analyze(context) {
    for (const item of context.all("VirtualService")) {
      const claim = routedClaim(item.spec);
      if (claim === undefined) continue;
      for (const written of stringsOf(item.spec["gateways"]).filter((name) => name !== MESH)) {
        const gateway = gatewayNamed(context, item.namespace, written);
        if (gateway !== undefined) checkClaims(context, item, gateway, claim);
      }
    }
  },
};

function checkClaims(context: AnalysisContext, item: AnalyzedObject, gateway: AnalyzedObject, claim: string): void {
  const selector = stringMapOf(gateway.spec["selector"]);
  for (const pod of context.all("Pod").filter(({ labels }) => matchesLabels(selector, labels))) {
    const isAuthenticated = context.all("RequestAuthentication").some(({ spec, namespace }) => {
      const reaches = namespace === "istio-system" || namespace === pod.namespace;
      return reaches && matchesLabels(stringMapOf(fieldsOf(spec["selector"])["matchLabels"]), pod.labels);
    });
    if (isAuthenticated) continue;
    const message = `routes by the claim ${claim}, but no RequestAuthentication applies to the pod ${pod.name} of the Gateway ${fullName(gateway)}: without one there are no claims. Add one that selects the gateway's pods.`;
    context.report("IST0149", item, message);
  }
}

function routedClaim(spec: Fields): string | undefined {
  for (const rule of listOf(spec["http"]).map(fieldsOf)) {
    for (const match of listOf(rule["match"]).map(fieldsOf)) {
      const names = [...Object.keys(fieldsOf(match["headers"])), ...Object.keys(fieldsOf(match["withoutHeaders"]))];
      const claim = names.find((name) => /^@request\.auth\.claims(?:\..|\[.+\]$)/i.test(name));
      if (claim !== undefined) return claim;
    }
  }
  return undefined;
}
