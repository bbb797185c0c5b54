/** Which namespaces and pods get a sidecar, and whether they have it. */
import { parse } from "yaml";
import { fieldsOf, listOf, stringMapOf, stringOf, type Fields } from "../../model/read-fields.ts";
import { fullName, type AnalyzedObject } from "../analyzed-object.ts";
import type { AnalysisContext, Analyzer } from "../analyzer.ts";
import { matchesLabelSelector } from "../labels.ts";
import { containersOf, hasProxy, INJECTION_LABEL, MODE_LABEL, REVISION_LABEL } from "./in-mesh.ts";

const INJECT = "sidecar.istio.io/inject";

/** Of a pod that is only a template nobody knows yet what injection adds. */
const isReal = ({ isTemplate }: AnalyzedObject): boolean => isTemplate !== true;

export const injection: Analyzer = {
  name: "injection.Analyzer",
  description: "Namespaces say whether their pods get a sidecar, and pods that should have one have it",
  inputs: ["Namespace", "Pod", "ConfigMap"],
  analyze(context) {
    const injected = new Set<string>();
    for (const item of context.all("Namespace")) {
      if (item.name !== "istio-system" && checkNamespace(context, item)) injected.add(item.name);
    }
    for (const pod of context.all("Pod").filter(isReal)) {
      if (!injected.has(pod.namespace)) continue;
      const asked = pod.labels[INJECT] ?? pod.annotations[INJECT] ?? "";
      if (asked.toLowerCase() === "false" || pod.spec["hostNetwork"] === true || hasProxy(pod.spec)) continue;
      const message = `the pod ${fullName(pod)} has no sidecar, though its namespace is injected. Restart the workload.`;
      context.report("IST0103", pod, message);
    }
  },
};

/** True where the namespace asks for sidecars by the label `istio-injection`. */
function checkNamespace(context: AnalysisContext, item: AnalyzedObject): boolean {
  const { labels, name } = item;
  const injectionLabel = labels[INJECTION_LABEL];
  const revision = labels[REVISION_LABEL];
  const mode = labels[MODE_LABEL];
  const isOn = injectionLabel === undefined || injectionLabel === "enabled";
  const all = [
    ...(injectionLabel === undefined ? [] : [`${INJECTION_LABEL}=${injectionLabel}`]),
    ...(revision === undefined || !isOn ? [] : [`${REVISION_LABEL}=${revision}`]),
    ...(mode === undefined || !isOn ? [] : [`${MODE_LABEL}=${mode}`]),
  ];
  if (all.length > 1) {
    const message = `has more than one label about injection (${all.join(", ")}); which of them counts is not defined. Keep one.`;
    context.report("IST0123", item, message);
  }
  if (mode === "ambient") return false;
  if ((injectionLabel ?? "") === "" && revision === undefined) {
    if (injectsByDefault(context, revision)) {
      context.report("IST0148", item, "its pods get a sidecar, because the installation injects by default.");
    } else {
      const message = `its pods get no sidecar. Label it: istio-injection=enabled, or istio-injection=disabled to say that it is meant so (kubectl label namespace ${name} istio-injection=enabled).`;
      context.report("IST0102", item, message, "metadata.name");
    }
    return false;
  }
  return injectionLabel === "enabled";
}

const configMapName = (revision: string | undefined): string =>
  revision === undefined || revision === "" || revision === "default"
    ? "istio-sidecar-injector"
    : `istio-sidecar-injector-${revision}`;

function injectorValues(item: AnalyzedObject): Fields {
  const text = stringOf(fieldsOf(item.object.raw["data"])["values"]) ?? "";
  try {
    return fieldsOf(JSON.parse(text));
  } catch {
    return {};
  }
}

function injectsByDefault(context: AnalysisContext, revision: string | undefined): boolean {
  const map = context.all("ConfigMap").find(({ name }) => name === configMapName(revision));
  if (map === undefined) return false;
  return fieldsOf(injectorValues(map)["sidecarInjectorWebhook"])["enableNamespacesByDefault"] === true;
}

export const injectedImages: Analyzer = {
  name: "injection.ImageAnalyzer",
  description: "The sidecars of pods have the image that the injector would give them today",
  inputs: ["Namespace", "Pod", "ConfigMap", "ProxyConfig"],
  analyze(context) {
    const images = new Map(
      context
        .all("ConfigMap")
        .filter(({ name }) => name.startsWith("istio-sidecar-injector"))
        .map((map) => [map.name, injectedImage(map)]),
    );
    if (images.size === 0) return;
    for (const namespace of context.all("Namespace")) {
      const revision = namespace.labels[REVISION_LABEL];
      if (namespace.labels[INJECTION_LABEL] !== "enabled" && revision === undefined) continue;
      const image = images.get(configMapName(revision));
      if (image === undefined) continue;
      const names = context
        .all("Pod")
        .filter((pod) => isReal(pod) && pod.namespace === namespace.name && hasOtherImage(context, pod, image))
        .map(({ name }) => name)
        .sort();
      if (names.length === 0) continue;
      const message = `the sidecars of the pods ${names.join(", ")} are not of the image ${image} that is injected today. Restart them.`;
      context.report("IST0158", namespace, message);
    }
  },
};

function injectedImage(map: AnalyzedObject): string {
  const global = fieldsOf(injectorValues(map)["global"]);
  const image = stringOf(fieldsOf(global["proxy"])["image"]) ?? "";
  return image.includes("/") ? image : `${String(global["hub"])}/${image}:${String(global["tag"])}`;
}

function hasOtherImage(context: AnalysisContext, pod: AnalyzedObject, image: string): boolean {
  if ((pod.annotations["sidecar.istio.io/proxyImage"] ?? "") !== "") return false;
  const variant = imageVariant(context, pod);
  return containersOf(pod.spec)
    .filter(({ name }) => name === "istio-proxy")
    .some((container) => container["image"] !== image && container["image"] !== `${image}-${variant}`);
}

/** `distroless`, `debug`: MeshConfig, a ProxyConfig of the mesh, of the namespace, of the workload, an annotation: the last counts. */
function imageVariant(context: AnalysisContext, pod: AnalyzedObject): string {
  const layers = context
    .all("ProxyConfig")
    .filter(({ spec, namespace }) => {
      if (namespace === context.meshConfig["rootNamespace"]) return true;
      return namespace === pod.namespace && matchesLabelSelector(spec["selector"], pod.labels);
    })
    .map(({ spec, namespace }) => ({
      rank: namespace !== pod.namespace ? 0 : spec["selector"] === undefined ? 1 : 2,
      image: spec["image"],
    }))
    .sort((one, other) => one.rank - other.rank);
  const images = [
    fieldsOf(context.meshConfig["defaultConfig"])["image"],
    ...layers.map(({ image }) => image),
    annotatedConfig(pod)["image"],
  ];
  const types = images.map((image) => stringOf(fieldsOf(image)["imageType"]) ?? "").filter((type) => type !== "");
  const last = types.at(-1) ?? "";
  return last === "default" ? "" : last;
}

function annotatedConfig({ annotations }: AnalyzedObject): Fields {
  try {
    return fieldsOf(parse(annotations["proxy.istio.io/config"] ?? "", { maxAliasCount: 100 }));
  } catch {
    return {};
  }
}

export const autoImages: Analyzer = {
  name: "injection.ImageAutoAnalyzer",
  description: "Workloads with `image: auto` are injected, by which they get their image",
  inputs: ["Namespace", "Pod", "Deployment", "MutatingWebhookConfiguration"],
  analyze(context) {
    const hooks = context
      .all("MutatingWebhookConfiguration")
      .flatMap(({ object }) => listOf(object.raw["webhooks"]).map(fieldsOf))
      .filter(({ name }) => (stringOf(name) ?? "").endsWith("istio.io"));
    for (const pod of context.all("Pod").filter(isReal)) {
      if (hasAutoImage(pod.spec)) context.report("IST0147", pod, autoSentence("pod", pod.name));
    }
    for (const item of context.all("Deployment")) {
      const template = fieldsOf(item.spec["template"]);
      if (!hasAutoImage(fieldsOf(template["spec"]))) continue;
      const namespaceLabels = context.find("Namespace", "", item.namespace || "default")?.labels ?? {};
      const podLabels = stringMapOf(fieldsOf(template["metadata"])["labels"]);
      const isInjected = hooks.some(
        (hook) =>
          matchesLabelSelector(hook["namespaceSelector"], namespaceLabels) &&
          matchesLabelSelector(hook["objectSelector"], podLabels),
      );
      if (!isInjected) context.report("IST0146", item, autoSentence("Deployment", item.name));
    }
  },
};

const autoSentence = (what: string, name: string): string =>
  `the ${what} ${name} has \`image: auto\`, but no injection webhook selects it: there is no image of that name.`;

function hasAutoImage(spec: Fields): boolean {
  return listOf(spec["containers"])
    .map(fieldsOf)
    .some(({ name, image }) => name === "istio-proxy" && image === "auto");
}
