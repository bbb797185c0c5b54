/** What an installation brings along: webhooks, CRDs, networks. */
import { fieldsOf, listOf, stringMapOf, stringOf, stringsOf, type Fields } from "../../model/read-fields.ts";
import { ipFamily } from "../../model/ip.ts";
import type { AnalyzedObject } from "../analyzed-object.ts";
import type { AnalysisContext, Analyzer } from "../analyzer.ts";
import { matchesLabelSelector } from "../labels.ts";
import { REVISION_LABEL } from "./in-mesh.ts";

const hooksOf = ({ object }: AnalyzedObject): readonly Fields[] => listOf(object.raw["webhooks"]).map(fieldsOf);

interface Hook {
  readonly item: AnalyzedObject;
  readonly name: string;
  readonly hook: Fields;
}

export const webhooks: Analyzer = {
  name: "webhook.Analyzer",
  description: "At most one injection webhook selects a pod, and its Service exists",
  inputs: ["MutatingWebhookConfiguration", "Service"],
  analyze(context) {
    const own = context.all("MutatingWebhookConfiguration").filter((item) => {
      return revisionsOf(item).length > 0 || hooksOf(item).some(({ name }) => String(name).endsWith("istio.io"));
    });
    const hooks = own.flatMap((item) =>
      hooksOf(item).map((hook): Hook => ({ item, name: `${item.name}/${String(hook["name"])}`, hook })),
    );
    const revisions = [...new Set(own.flatMap(revisionsOf))];
    reportOverlaps(context, hooks, revisions);
    for (const { item, hook } of hooks) {
      const service = fieldsOf(hook["clientConfig"])["service"];
      if (service === undefined) continue;
      const { namespace, name } = fieldsOf(service);
      if (context.find("Service", String(namespace), String(name)) !== undefined) continue;
      const message = `the webhook ${String(hook["name"])} calls the Service ${String(namespace)}/${String(name)}, which does not exist.`;
      context.report("IST0139", item, message);
    }
  },
};

function revisionsOf(item: AnalyzedObject): readonly string[] {
  const selectors = hooksOf(item)
    .flatMap((hook) => [hook["namespaceSelector"], hook["objectSelector"]])
    .map(fieldsOf);
  const matched = selectors.map(({ matchLabels }) => stringMapOf(matchLabels)[REVISION_LABEL]);
  const listed = selectors
    .flatMap(({ matchExpressions }) => listOf(matchExpressions).map(fieldsOf))
    .filter(({ key }) => key === REVISION_LABEL)
    .flatMap(({ values }) => stringsOf(values));
  return [item.labels[REVISION_LABEL], ...matched, ...listed].filter((name) => name !== undefined);
}

/** Tries every combination of labels that decides about injection. */
function reportOverlaps(context: AnalysisContext, hooks: readonly Hook[], revisions: readonly string[]): void {
  const combinations = (key: string, values: readonly (string | undefined)[]): readonly Record<string, string>[] =>
    [undefined, ...revisions].flatMap((revision) =>
      values.map((value) => ({
        ...(value === undefined ? {} : { [key]: value }),
        ...(revision === undefined ? {} : { [REVISION_LABEL]: revision }),
      })),
    );
  for (const namespace of combinations("istio-injection", [undefined, "enabled", "disabled"])) {
    for (const pod of combinations("sidecar.istio.io/inject", [undefined, "true", "false"])) {
      const matching = hooks.filter(
        ({ hook }) =>
          matchesLabelSelector(hook["namespaceSelector"], namespace) &&
          matchesLabelSelector(hook["objectSelector"], pod),
      );
      if (matching.length < 2) continue;
      for (const { item, name } of matching) {
        const others = matching.map((other) => other.name).filter((other) => other !== name);
        const message = `the webhook ${name} selects what others do, too: ${others.sort().join(", ")}. A pod would be injected twice.`;
        context.report("IST0139", item, message);
      }
    }
  }
}

export const externalControlPlane: Analyzer = {
  name: "externalcontrolplane.ExternalControlPlaneAnalyzer",
  description: "Webhooks that lead to a control plane elsewhere name it by a URL that can be used",
  inputs: ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"],
  analyze(context) {
    const validating = context
      .all("ValidatingWebhookConfiguration")
      .filter(({ name }) => name === "istiod-default-validator" || name.startsWith("istio-validator"));
    const mutating = context
      .all("MutatingWebhookConfiguration")
      .filter(({ name }) => name.startsWith("istio-sidecar-injector"));
    for (const item of [...validating, ...mutating]) {
      for (const hook of hooksOf(item)) checkClient(context, item, hook);
    }
  },
};

function checkClient(context: AnalysisContext, item: AnalyzedObject, hook: Fields): void {
  const client = fieldsOf(hook["clientConfig"]);
  const url = stringOf(client["url"]);
  const name = String(hook["name"]);
  if (url === undefined) {
    if (client["service"] !== undefined) return;
    context.report("IST0163", item, `the webhook ${name} names neither a URL nor a Service.`);
  } else if (!URL.canParse(url)) {
    context.report("IST0163", item, `the webhook ${name} has the URL ${url}, which can't be read.`);
  } else {
    const host = new URL(url).hostname.replace(/^\[|\]$/g, "");
    if (ipFamily(host) === 0) return;
    context.report("IST0164", item, `the webhook ${name} has the URL ${url}: an address is fragile, take a name.`);
  }
}

/** The oldest bundle of Gateway API whose objects istiod reads. */
const oldestBundles: Readonly<Record<string, readonly number[]>> = {
  "grpcroutes.gateway.networking.k8s.io": [1, 1, 0],
  "backendtlspolicies.gateway.networking.k8s.io": [1, 4, 0],
  "tlsroutes.gateway.networking.k8s.io": [1, 5, 0],
  "tcproutes.gateway.networking.k8s.io": [1, 6, 0],
};

export const gatewayApiVersions: Analyzer = {
  name: "k8sgateway.CRDVersionAnalyzer",
  description: "The CRDs of Gateway API are new enough for istiod to read their objects",
  inputs: ["CustomResourceDefinition"],
  analyze(context) {
    for (const item of context.all("CustomResourceDefinition")) {
      const oldest = Object.hasOwn(oldestBundles, item.name) ? oldestBundles[item.name] : undefined;
      const written = item.annotations["gateway.networking.k8s.io/bundle-version"] ?? "";
      const match = /^v?(\d+)\.(\d+)\.(\d+)/.exec(written);
      if (oldest === undefined || match === null) continue;
      const installed = match.slice(1).map(Number);
      const at = installed.findIndex((part, index) => part !== oldest[index]);
      if (at < 0 || (installed[at] ?? 0) > (oldest[at] ?? 0)) continue;
      const message = `the CRD ${item.name} is of Gateway API ${written}, and istiod reads its objects from ${oldest.join(".")} on. Upgrade the CRDs.`;
      context.report("IST0176", item, message);
    }
  },
};

const REMOTE_SECRET = "istio/multiCluster";

export const meshNetworks: Analyzer = {
  name: "meshnetworks.MeshNetworksAnalyzer",
  description: "Networks of the mesh name registries that exist",
  inputs: ["Secret"],
  analyze(context) {
    const clusters = context
      .all("Secret")
      .filter(({ labels }) => labels[REMOTE_SECRET] === "true")
      .flatMap(({ object }) => [
        ...Object.keys(fieldsOf(object.raw["data"])),
        ...Object.keys(fieldsOf(object.raw["stringData"])),
      ]);
    const known = new Set(["Mock", "Kubernetes", "External", ...clusters]);
    const { networks, about } = context.meshNetworks;
    for (const [name, network] of Object.entries(networks)) {
      for (const endpoint of listOf(fieldsOf(network)["endpoints"]).map(fieldsOf)) {
        const registry = stringOf(endpoint["fromRegistry"]);
        if (registry === undefined || known.has(registry)) continue;
        context.report("IST0126", about, `the network ${name} names the registry ${registry}, which does not exist.`);
      }
    }
  },
};
