/** Objects → messages, as istioctl gathers, filters and orders them. Pure. */
import type { MeshObject } from "../model/object.ts";
import { fieldsOf, type Fields } from "../model/read-fields.ts";
import {
  analyzedObject,
  fullName,
  lineOfScalar,
  originOf,
  podOfTemplate,
  type AnalyzedKind,
  type AnalyzedObject,
} from "./analyzed-object.ts";
import type { AnalysisContext, Analyzer } from "./analyzer.ts";
import { defaultObjects } from "./default-objects.ts";
import { matchesGlob } from "./glob.ts";
import { messageLevels, messageType, type MessageCode, type MessageType } from "./messages.ts";

export interface AnalysisMessage {
  readonly type: MessageType;
  /** `VirtualService default/reviews`. */
  readonly origin: string;
  /** `reviews.yaml:12`; JSON files have no line. */
  readonly reference: string;
  readonly message: string;
  readonly about: AnalyzedObject;
  /** Of the field whose line is named. */
  readonly path: string | undefined;
}

export interface Suppression {
  readonly code: string;
  /** `DestinationRule *.default`, `*` for any run of characters; compared with the origin. */
  readonly resource: string;
}

export interface AnalysisOptions {
  /** Messages about objects of other namespaces are left out; undefined: all are kept. */
  readonly namespace: string | undefined;
  /** The namespace of objects that name none. Default: `namespace`, or none. */
  readonly defaultNamespace?: string;
  /**
   * The objects are all there is: analyzers that look at Services, Pods, Namespaces, Nodes and Secrets run, too. Otherwise
   * these are expected elsewhere, and nobody is told that one is missing.
   */
  readonly isComplete?: boolean;
  readonly meshConfig?: Fields;
  readonly meshNetworks?: Fields;
  readonly suppressions?: readonly Suppression[];
  /** In ms since the epoch. Default: long ago, so that no certificate has ended. */
  readonly nowMs?: number;
}

export interface AnalysisResult {
  readonly messages: readonly AnalysisMessage[];
  readonly executed: readonly string[];
  readonly skipped: readonly string[];
}

/** Kinds of which files that somebody writes hold only a part. */
const runtimeKinds: ReadonlySet<AnalyzedKind> = new Set(["Service", "Namespace", "Node", "Pod", "Secret"]);

/** Namespaces of Kubernetes itself, which nobody analyzes. */
const ignoredNamespaces: ReadonlySet<string> = new Set([
  "kube-system",
  "kube-public",
  "kube-node-lease",
  "local-path-storage",
]);

const SUPPRESS = "galley.istio.io/analyze-suppress";

export function runAnalysis(
  objects: readonly MeshObject[],
  analyzers: readonly Analyzer[],
  options: AnalysisOptions,
): AnalysisResult {
  const own = options.isComplete === true ? defaultObjects(fieldsOf(options.meshConfig)) : [];
  const index = indexObjects([...own, ...objects], options);
  const messages: AnalysisMessage[] = [];
  const context = createContext(index, options, messages);
  const executed: string[] = [];
  const skipped: string[] = [];
  for (const analyzer of analyzers) {
    if (options.isComplete !== true && analyzer.inputs.some((kind) => runtimeKinds.has(kind))) {
      skipped.push(analyzer.name);
      continue;
    }
    executed.push(analyzer.name);
    analyzer.analyze(context);
  }
  const kept = messages.filter((message) => isKept(message, options));
  return { messages: sortedWithoutRepeats(kept), executed, skipped };
}

/** The line of the text form without colours: `Error [IST0101] (VirtualService default/a f.yaml:3) …`. */
export function messageLine({ type, origin, reference, message }: AnalysisMessage): string {
  return `${type.level} [${type.code}] (${origin} ${reference}) ${message}`;
}

/** The mesh's networks are no object that somebody writes; messages name it as istioctl does. */
const meshNetworksObject: AnalyzedObject = (() => {
  const location = { file: "meshnetworks", line: 1, column: 1 };
  const metadata = {
    name: "meshnetworks",
    namespace: "istio-system",
    labels: {},
    annotations: {},
    creationTimestamp: 0,
  };
  const object: MeshObject = {
    apiVersion: "v1alpha1",
    group: "",
    version: "v1alpha1",
    kind: "MeshNetworks",
    metadata,
    spec: {},
    raw: {},
    source: { location, locate: () => location },
  };
  return { kind: "ConfigMap", ...metadata, spec: {}, object };
})();

type Index = ReadonlyMap<AnalyzedKind, ReadonlyMap<string, AnalyzedObject>>;

/** Of two objects with one name the later counts. */
function indexObjects(objects: readonly MeshObject[], options: AnalysisOptions): Index {
  const index = new Map<AnalyzedKind, Map<string, AnalyzedObject>>();
  const put = (item: AnalyzedObject, key: string): void => {
    const ofKind = index.get(item.kind) ?? new Map<string, AnalyzedObject>();
    ofKind.set(key, item);
    index.set(item.kind, ofKind);
  };
  for (const object of objects) {
    const namespace = options.defaultNamespace ?? options.namespace ?? "";
    const pod = options.isComplete === true ? podOfTemplate(object, namespace) : undefined;
    if (pod !== undefined) put(pod, `${object.kind} ${fullName(pod)}`);
    const item = analyzedObject(object, namespace);
    if (item === undefined) continue;
    if (ignoredNamespaces.has(item.kind === "Namespace" ? item.name : item.namespace)) continue;
    put(item, fullName(item));
  }
  return index;
}

function createContext(index: Index, options: AnalysisOptions, messages: AnalysisMessage[]): AnalysisContext {
  const lists = new Map([...index].map(([kind, items]) => [kind, [...items.values()]]));
  return {
    all: (kind) => lists.get(kind) ?? [],
    find: (kind, namespace, name) => index.get(kind)?.get(fullName({ namespace, name })),
    meshConfig: { rootNamespace: "istio-system", ...fieldsOf(options.meshConfig) },
    nowMs: options.nowMs ?? 0,
    meshNetworks: { networks: fieldsOf(fieldsOf(options.meshNetworks)["networks"]), about: meshNetworksObject },
    report(code: MessageCode, about, message, path) {
      const { file, line } = about.object.source.location;
      const at = path === undefined ? undefined : lineOfScalar(about, path);
      const reference = /\.json$/i.test(file) ? file : `${file}:${at ?? line}`;
      messages.push({
        type: messageType(code),
        origin: originOf(about),
        reference,
        message,
        about,
        path: at === undefined ? undefined : path,
      });
    },
  };
}

function isKept({ type, origin, about }: AnalysisMessage, options: AnalysisOptions): boolean {
  const { namespace, suppressions = [] } = options;
  const own = about.kind === "Namespace" ? about.name : about.namespace;
  if (namespace !== undefined && own !== "" && own !== namespace) return false;
  const annotated = (about.annotations[SUPPRESS] ?? "").split(",");
  if (annotated.includes("*") || annotated.includes(type.code)) return false;
  return !suppressions.some(({ code, resource }) => code === type.code && matchesGlob(resource, origin));
}

/** By level, code, kind, name, namespace, and the sentence. */
function sortedWithoutRepeats(messages: readonly AnalysisMessage[]): readonly AnalysisMessage[] {
  const keyed = messages.map((message) => {
    const { type, about } = message;
    const key = [
      messageLevels.indexOf(type.level),
      type.code,
      `${about.object.kind}/${about.name}/${about.namespace}`,
      messageLine(message),
    ];
    return { message, key };
  });
  keyed.sort((one, other) => {
    for (const [at, part] of one.key.entries()) {
      const against = other.key[at] ?? "";
      if (part !== against) return part < against ? -1 : 1;
    }
    return 0;
  });
  const kept: AnalysisMessage[] = [];
  let last = "";
  for (const { message } of keyed) {
    const line = messageLine(message);
    if (line !== last) kept.push(message);
    last = line;
  }
  return kept;
}
