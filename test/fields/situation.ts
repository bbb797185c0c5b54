/** Situations in which a field may have its effect: the goldens of the translation, and the probes beside this file. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { parseManifests } from "#control-plane/config/parse-manifests.ts";
import { buildMeshIndex } from "#control-plane/model/build-mesh-index.ts";
import { effectiveProxyConfig } from "#control-plane/model/effective-proxy-config.ts";
import type { MeshObject } from "#control-plane/model/object.ts";
import { readMeshConfig } from "#control-plane/model/read-mesh-config.ts";
import { createTranslator } from "#control-plane/translate/translator.ts";
import type { ProxyConfigSnapshot } from "#control-plane/translate/types.ts";
import { proxyOf, type Header } from "../translate/golden.ts";

export interface Situation {
  /** `test/translate/retries`, `test/fields/probes/sidecar.yaml`. */
  readonly name: string;
  readonly objects: readonly MeshObject[];
  readonly meshConfig: Readonly<Record<string, unknown>>;
  readonly proxies: readonly Probed[];
}

/** `isStock: false`: a proxy with Istio's own filters, too. */
type Probed = Pick<Header, "proxy" | "type" | "interception" | "metadata" | "without"> & { readonly isStock?: boolean };

const here = import.meta.dirname;
const goldens = join(here, "../translate");
const probes = join(here, "probes");

/** The goldens first: what they show needs no probe. */
export function situations(): readonly Situation[] {
  const market = parseManifests(readFileSync(join(goldens, "market.yaml"), "utf8"), "market.yaml").objects;
  const read = (name: string, path: string): Situation => {
    const text = readFileSync(path, "utf8");
    const header = parseAllDocuments(text)[0]?.toJS() as Header & { readonly proxies?: Situation["proxies"] };
    const at = text.indexOf("\n---\n");
    const own = at < 0 ? [] : parseManifests(text.slice(at + 1), name).objects;
    return {
      name,
      objects: [...market, ...own],
      meshConfig: header.mesh ?? {},
      proxies: header.proxies ?? [header],
    };
  };
  return [
    ...readdirSync(goldens)
      .filter((name) => existsSync(join(goldens, name, "in.yaml")))
      .sort()
      .map((name) => read(`test/translate/${name}`, join(goldens, name, "in.yaml"))),
    ...readdirSync(probes)
      .filter((name) => name.endsWith(".yaml"))
      .sort()
      .map((name) => read(`test/fields/probes/${name}`, join(probes, name))),
  ];
}

/** xDS, and the PROXY_CONFIG that injection gives the proxy. */
export type Sent = ProxyConfigSnapshot & { readonly node: unknown };

/** What each proxy of the situation is sent. */
export function snapshotsOf(situation: Situation, objects: readonly MeshObject[]): readonly Sent[] {
  const layer = { values: situation.meshConfig, origin: "mesh", problemAt: () => ({}) };
  const mesh = buildMeshIndex(objects, readMeshConfig([layer]).meshConfig);
  return situation.proxies.map((said) => {
    const proxy = proxyOf(said, mesh);
    const annotations = {};
    const node = effectiveProxyConfig(mesh, { namespace: proxy.namespace, labels: proxy.labels, annotations });
    return { ...createTranslator().snapshot(mesh, proxy), node };
  });
}
