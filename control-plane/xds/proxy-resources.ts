/** The resources of one proxy in one mesh: translated when they are asked for, each name once. */
import type { Problem } from "#lib/problem.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import { endpointChange } from "../model/endpoint-change.ts";
import { hostOfCluster } from "../translate/names.ts";
import { isProxyless } from "../translate/grpc-proxyless.ts";
import { withMesh } from "../model/proxy-node-from.ts";
import type { ProvenIdentity } from "../translate/credential-access.ts";
import type { ResourceJson, Translated, Translator } from "../translate/types.ts";
import { resourceName, type EncodedResource, type ResourceEncoder } from "./resource-encoder.ts";
import { CDS, ECDS, EDS, LDS, NDS, PCDS, RDS, type ResourceType } from "./resource-types.ts";

export interface ProxyResources {
  /** Set where nothing but the endpoints of these hosts differs from the mesh before. */
  readonly changedHosts?: ReadonlySet<string> | undefined;
  /** What was translated so far; only for `createProxyResources`. */
  readonly made: Made;
  readonly mesh: MeshIndex;
  /** The node with what the mesh says of its Pod. */
  readonly node: ProxyNode;
  /**
   * Everything of a wildcard type; of the others those of `names` that exist. Throws when translation fails: then what
   * the proxy has stays.
   */
  available(type: ResourceType, names: ReadonlySet<string>): ReadonlyMap<string, EncodedResource>;
  /** What translation had to say so far. */
  readonly problems: readonly Problem[];
  /** Extensions that the proxy lacks and that were left out for it, so far. */
  readonly leftOut: ReadonlySet<string>;
}

interface Made {
  readonly whole: Map<ResourceType, ReadonlyMap<string, EncodedResource>>;
  readonly named: Map<ResourceType, Map<string, EncodedResource | undefined>>;
  readonly leftOut: Set<string>;
}

/**
 * Where only endpoints differ from the mesh before, everything stays but the assignments of those hosts; a proxy whose
 * own Pod is among them is translated anew. What is kept is taken over: `previous` must not be used any more.
 */
function takenOver(
  previous: ProxyResources | undefined,
  mesh: MeshIndex,
  node: ProxyNode,
): (Made & Pick<ProxyResources, "problems" | "changedHosts">) | undefined {
  const change = previous === undefined ? undefined : endpointChange(previous.mesh, mesh);
  if (previous === undefined || change === undefined || change.workloads.has(`${node.namespace}/${node.name}`)) {
    return undefined;
  }
  const assignments = previous.made.named.get(EDS) ?? new Map<string, EncodedResource | undefined>();
  for (const name of assignments.keys()) if (change.hosts.has(hostOfCluster(name))) assignments.delete(name);
  return { ...previous.made, problems: previous.problems, changedHosts: change.hosts };
}

/** What the proxy has been sent of a resource that can't be made any more. */
export type LastGood = (type: ResourceType, name: string) => EncodedResource | undefined;

export function createProxyResources(
  deps: {
    readonly translator: Translator;
    readonly encoder: ResourceEncoder;
    /** Who the proxy has proved to be; without it it gets no Secrets. */
    readonly identity?: ProvenIdentity | undefined;
    /** The roots of the mesh, for PCDS; undefined: nobody follows them. */
    readonly trust?: (() => ResourceJson) | undefined;
  },
  mesh: MeshIndex,
  proxy: ProxyNode,
  lastGood: LastGood,
  previous?: ProxyResources,
): ProxyResources {
  const { translator, encoder } = deps;
  const { node, problems: nodeProblems } = withMesh(proxy, mesh);
  const {
    whole,
    named,
    leftOut,
    changedHosts,
    problems: earlier,
  } = takenOver(previous, mesh, node) ?? { whole: new Map(), named: new Map(), leftOut: new Set(), problems: [] };
  const problems: Problem[] = [...earlier, ...nodeProblems];

  function encodeAll(type: ResourceType, translated: Translated): Map<string, EncodedResource> {
    problems.push(...translated.problems);
    for (const name of translated.leftOut ?? []) leftOut.add(name);
    const encoded = new Map<string, EncodedResource>();
    for (const json of translated.resources) {
      const resource = encoder.encode(type, json, problems) ?? lastGood(type, resourceName(type, json));
      if (resource !== undefined) encoded.set(resource.name, resource);
    }
    return encoded;
  }

  function allOf(type: ResourceType): ReadonlyMap<string, EncodedResource> {
    const known = whole.get(type);
    if (known !== undefined) return known;
    const translated = wholeOf(type);
    const encoded = encodeAll(type, translated);
    whole.set(type, encoded);
    return encoded;
  }

  function wholeOf(type: ResourceType): Translated {
    if (type === CDS) return translator.clusters(mesh, node);
    return type === NDS ? translator.nameTable(mesh, node) : translator.listeners(mesh, node);
  }

  function translatedOf(type: ResourceType, names: readonly string[]): Translated {
    if (type === CDS) return translator.clusters(mesh, node, names);
    if (type === LDS) return translator.listeners(mesh, node, names);
    if (type === EDS) return translator.endpoints(mesh, node, names);
    if (type === RDS) return translator.routes(mesh, node, names);
    if (type === ECDS) return translator.extensionConfigs(mesh, node, names);
    return translator.secrets(mesh, node, names, deps.identity);
  }

  function namedOf(type: ResourceType, names: ReadonlySet<string>): ReadonlyMap<string, EncodedResource> {
    const known = named.get(type) ?? new Map<string, EncodedResource | undefined>();
    named.set(type, known);
    const missing = [...names].filter((name) => !known.has(name));
    if (missing.length > 0) {
      const encoded = encodeAll(type, translatedOf(type, missing));
      for (const name of missing) known.set(name, encoded.get(name));
    }
    const found = new Map<string, EncodedResource>();
    for (const name of names) {
      const resource = known.get(name);
      if (resource !== undefined) found.set(name, resource);
    }
    return found;
  }

  /** gRPC without a proxy asks for clusters and listeners by name, too. */
  function isNamed(type: ResourceType, names: ReadonlySet<string>): boolean {
    if (!type.isWildcard) return true;
    return (type === CDS || type === LDS) && names.size > 0 && isProxyless(node);
  }

  return {
    mesh,
    node,
    problems,
    leftOut,
    made: { whole, named, leftOut },
    changedHosts,
    available(type, names) {
      // Of its ProxyConfig, which it has from its start, a proxy follows the mesh's roots. They are no part of the mesh.
      if (type === PCDS)
        return deps.trust === undefined ? new Map() : encodeAll(type, { resources: [deps.trust()], problems: [] });
      return isNamed(type, names) ? namedOf(type, names) : allOf(type);
    },
  };
}
