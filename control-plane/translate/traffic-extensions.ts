/** TrafficExtensions and WasmPlugins → filters of the listeners, by the phase that they run in. */
import type { MeshObject } from "../model/object.ts";
import { HTTP_RBAC, NETWORK_RBAC } from "./authorization-names.ts";
import { any, byText, type JsonObject } from "./json.ts";
import { memoized, memoizedByShape } from "./memo.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import { ADS_SOURCE } from "./secrets.ts";
import { isSelecting } from "./security-policies.ts";
import { specOf } from "./spec/spec.ts";
import type { TrafficExtensionSpec, TrafficSelector, WasmModule, WasmPluginSpec } from "./spec/traffic-extension.ts";
import { hasExtension, report, type View } from "./view.ts";

export type Phase = "AUTHN" | "AUTHZ" | "STATS" | "UNSPECIFIED";

/** Filters in their order, by phase. */
export type PhaseFilters = Readonly<Record<Phase, readonly JsonObject[]>>;

/** What `match` of an extension is compared with: the port of the listener, and whose side it stands on. */
export interface ListenerSide {
  readonly port: number;
  readonly side: "CLIENT" | "SERVER";
}

/** One extension, whichever kind it was written as. */
export interface Extension {
  readonly object: MeshObject;
  /** Of the filter and of its configuration. */
  readonly resourceName: string;
  /** `<namespace>.<name>` */
  readonly pluginName: string;
  readonly phase: Phase;
  readonly priority: number;
  readonly match: readonly TrafficSelector[];
  readonly layer: "http" | "network";
  readonly program: { readonly lua: string } | { readonly wasm: WasmModule };
}

const RESOURCE_PREFIX = "extensions.istio.io/trafficextension/";
/** Ends the name of what istiod makes of a WasmPlugin; no object can be called so. */
const PLUGIN_MARK = "~istio-translated-wasmplugin";
const NO_PRIORITY = -(2 ** 31);

const LUA = "envoy.filters.http.lua";
const WASM = { http: "envoy.filters.http.wasm", network: "envoy.filters.network.wasm" } as const;
const FETCHED_TYPES = {
  http: ["http.wasm.v3.Wasm", "http.rbac.v3.RBAC"],
  network: ["network.wasm.v3.Wasm", "network.rbac.v3.RBAC"],
} as const;

/** HTTP filters of the extensions that are for a listener. */
export function httpExtensions(view: View, where: ListenerSide): PhaseFilters {
  return filtersFor(view, "http", where);
}

/** Network filters of the extensions that are for a listener. */
export function networkExtensions(view: View, where: ListenerSide): PhaseFilters {
  return filtersFor(view, "network", where);
}

/** All phases one after the other: where nothing stands between them. */
export function allPhases({ AUTHN, AUTHZ, STATS, UNSPECIFIED }: PhaseFilters): readonly JsonObject[] {
  return [...AUTHN, ...AUTHZ, ...STATS, ...UNSPECIFIED];
}

const NONE: PhaseFilters = { AUTHN: [], AUTHZ: [], STATS: [], UNSPECIFIED: [] };

function filtersFor(view: View, layer: Extension["layer"], where: ListenerSide): PhaseFilters {
  const all = extensionsOf(view).filter((item) => item.layer === layer && matches(item.match, where));
  if (all.length === 0) return NONE;
  const of = (phase: Phase): readonly JsonObject[] =>
    all.filter((item) => item.phase === phase).flatMap((item) => filterOf(view, item));
  return { AUTHN: of("AUTHN"), AUTHZ: of("AUTHZ"), STATS: of("STATS"), UNSPECIFIED: of("UNSPECIFIED") };
}

function matches(selectors: readonly TrafficSelector[], { port, side }: ListenerSide): boolean {
  if (selectors.length === 0) return true;
  return selectors.some(({ mode = "UNDEFINED", ports = [] }) => {
    const isSide = mode === "UNDEFINED" || mode === "CLIENT_AND_SERVER" || mode === side;
    return isSide && (ports.length === 0 || ports.some(({ number = 0 }) => number !== 0 && number === port));
  });
}

/** The proxy's own namespace before the root's; the higher priority first, then the older. */
export const extensionsOf: (view: View) => readonly Extension[] = memoized((view: View): readonly Extension[] => {
  const { rootNamespace } = view.mesh.meshConfig;
  const own = extensionsOfMesh(view.mesh).filter(({ object }) => isSelecting(object, view));
  const isOfRoot = ({ object }: Extension): boolean => object.metadata.namespace !== view.proxy.namespace;
  return [...own.filter((item) => !isOfRoot(item)), ...own.filter(isOfRoot)]
    .filter(({ object: { metadata } }) => [view.proxy.namespace, rootNamespace].includes(metadata.namespace))
    .toSorted((a, b) => b.priority - a.priority);
});

const extensionsOfMesh = memoizedByShape((mesh: MeshIndex): readonly Extension[] => {
  const plugins = mesh.objects<WasmPluginSpec>("WasmPlugin").map((object) => {
    const spec = specOf<WasmPluginSpec>(object);
    return extensionFrom(object, { ...spec, wasm: spec }, `${object.metadata.name}${PLUGIN_MARK}`);
  });
  const others = mesh
    .objects<TrafficExtensionSpec>("TrafficExtension")
    .map((object) => extensionFrom(object, specOf<TrafficExtensionSpec>(object), object.metadata.name));
  return [...plugins, ...others].filter((item) => item !== undefined).toSorted(byAge);
});

function byAge(a: Extension, b: Extension): number {
  const age = a.object.metadata.creationTimestamp - b.object.metadata.creationTimestamp;
  return age || byText(a.object.metadata.name, b.object.metadata.name) || byText(a.pluginName, b.pluginName);
}

function extensionFrom(object: MeshObject, spec: TrafficExtensionSpec, name: string): Extension | undefined {
  const { wasm, lua } = spec;
  const program =
    wasm !== undefined && (wasm.url ?? "") !== ""
      ? { wasm }
      : lua === undefined
        ? undefined
        : { lua: lua.inlineCode ?? "" };
  if (program === undefined) return undefined;
  const pluginName = `${object.metadata.namespace}.${name}`;
  return {
    object,
    resourceName: `${RESOURCE_PREFIX}${pluginName}`,
    pluginName,
    phase: phaseOf(spec.phase),
    priority: spec.priority ?? NO_PRIORITY,
    match: spec.match ?? [],
    layer: wasm?.type === "NETWORK" ? "network" : "http",
    program,
  };
}

function phaseOf(phase: string | undefined): Phase {
  return phase === "AUTHN" || phase === "AUTHZ" || phase === "STATS" ? phase : "UNSPECIFIED";
}

function filterOf(view: View, extension: Extension): readonly JsonObject[] {
  const { resourceName, layer, program } = extension;
  if (!canRun(view, extension)) return instead(extension);
  if ("lua" in program) {
    const typedConfig = any("envoy.extensions.filters.http.lua.v3.Lua", {
      defaultSourceCode: { inlineString: program.lua },
    });
    return [{ name: resourceName, typedConfig }];
  }
  const typeUrls = FETCHED_TYPES[layer].map((type) => `type.googleapis.com/envoy.extensions.filters.${type}`);
  return [{ name: resourceName, configDiscovery: { configSource: ADS_SOURCE, typeUrls } }];
}

function canRun(view: View, { layer, program }: Extension): boolean {
  return hasExtension(view, "lua" in program ? LUA : WASM[layer]);
}

/** As a module that can't be loaded: with FAIL_OPEN left out, else everything is refused; it may be what guards. */
function instead({ resourceName, layer, program }: Extension): readonly JsonObject[] {
  if ("wasm" in program && program.wasm.failStrategy === "FAIL_OPEN") return [];
  const typedConfig =
    layer === "http"
      ? any("envoy.extensions.filters.http.rbac.v3.RBAC", { rules: {} })
      : any("envoy.extensions.filters.network.rbac.v3.RBAC", { rules: {}, statPrefix: `${resourceName}.` });
  return [{ name: layer === "http" ? HTTP_RBAC : NETWORK_RBAC, typedConfig }];
}

/** One finding for each extension that the proxy has no filter for. */
export function reportExtensions(view: View): void {
  for (const extension of extensionsOf(view).filter((item) => !canRun(view, item))) {
    const isLeftOut = instead(extension).length === 0;
    const who = `${view.proxy.name}.${view.proxy.namespace}`;
    const what = "lua" in extension.program ? "Lua" : "WebAssembly";
    const message = isLeftOut
      ? `${who} can't run ${what}: with FAIL_OPEN it goes on without.`
      : `${who} can't run ${what}, and refuses what the program would have seen. Remove the object, narrow its selector or match, or (of a WebAssembly module) set failStrategy to FAIL_OPEN.`;
    report(view, "warning", isLeftOut ? "no-effect" : "denies-all", extension.object, "spec", message);
  }
}
