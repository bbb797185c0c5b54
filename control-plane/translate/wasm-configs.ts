/** Configurations of WebAssembly filters that listeners fetch by name (ECDS). */
import { any, compact, type JsonObject, nonEmpty, sortedEntries } from "./json.ts";
import type { WasmModule } from "./spec/traffic-extension.ts";
import { type Extension, extensionsOf } from "./traffic-extensions.ts";
import type { View } from "./view.ts";

const PULL_SECRET = "ISTIO_META_WASM_IMAGE_PULL_SECRET";
const PULL_POLICY = "ISTIO_META_WASM_IMAGE_PULL_POLICY";
const RESOURCE_VERSION = "ISTIO_META_WASM_PLUGIN_RESOURCE_VERSION";

const FAILURE_POLICIES = { FAIL_CLOSE: "FAIL_CLOSED", FAIL_OPEN: "FAIL_OPEN", FAIL_RELOAD: "FAIL_RELOAD" } as const;

/** Of those among `names` that are modules and select the proxy. */
export function wasmConfigs(view: View, names: readonly string[]): readonly JsonObject[] {
  return extensionsOf(view).flatMap((extension) => {
    const { program, resourceName, layer } = extension;
    if ("lua" in program || !names.includes(resourceName)) return [];
    const config = pluginConfig(extension, program.wasm);
    return [{ name: resourceName, typedConfig: any(`envoy.extensions.filters.${layer}.wasm.v3.Wasm`, { config }) }];
  });
}

function pluginConfig({ pluginName, object }: Extension, wasm: WasmModule): JsonObject {
  const { pluginConfig: own = {}, failStrategy = "FAIL_CLOSE" } = wasm;
  const env = wasm.vmConfig?.env ?? [];
  const policy = wasm.imagePullPolicy ?? "UNSPECIFIED_POLICY";
  const keyValues: Record<string, string> = {
    // The agent pulls images; what stands in Secrets is not sent.
    ...((wasm.imagePullSecret ?? "") !== "" && { [PULL_SECRET]: "" }),
    ...(policy !== "UNSPECIFIED_POLICY" && { [PULL_POLICY]: policy }),
    [RESOURCE_VERSION]: object.metadata.resourceVersion ?? "",
  };
  for (const { name = "", value = "", valueFrom } of env) if (valueFrom !== "HOST") keyValues[name] = value;
  const hostEnvKeys = env.filter(({ valueFrom }) => valueFrom === "HOST").map(({ name }) => name ?? "");
  return compact({
    name: pluginName,
    rootId: wasm.pluginName || undefined,
    configuration:
      Object.keys(own).length === 0
        ? {}
        : { "@type": "type.googleapis.com/google.protobuf.StringValue", value: text(own) },
    failurePolicy: FAILURE_POLICIES[failStrategy],
    vmConfig: {
      runtime: "envoy.wasm.runtime.v8",
      code: codeOf(wasm),
      environmentVariables: compact({ hostEnvKeys: nonEmpty(hostEnvKeys), keyValues }),
    },
  });
}

/** Without a scheme the URL is that of an image. */
function codeOf({ url = "", sha256 }: WasmModule): JsonObject {
  if (url.startsWith("file://")) return { local: { filename: url.slice("file://".length) } };
  const uri = /^[a-z][a-z0-9+.-]*:\/\//i.test(url) ? url : `oci://${url}`;
  // The agent fetches it: there is no such cluster.
  return { remote: compact({ httpUri: { uri, cluster: "_", timeout: "30s" }, sha256: sha256 || undefined }) };
}

/** JSON with its keys in order and without what HTML reads, as istiod writes it. */
function text(value: unknown): string {
  const json = JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(sortedEntries(inner as Readonly<Record<string, unknown>>))
      : inner,
  );
  return json.replaceAll(/[<>&\u2028\u2029]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
