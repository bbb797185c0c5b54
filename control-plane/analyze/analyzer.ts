/** What an analyzer is, and what it may look at. */
import type { Fields } from "../model/read-fields.ts";
import type { AnalyzedKind, AnalyzedObject } from "./analyzed-object.ts";
import type { MessageCode } from "./messages.ts";

export interface Analyzer {
  /** Istio's name of it: `virtualservice.GatewayAnalyzer`. */
  readonly name: string;
  readonly description: string;
  /** Every kind that it looks at: it runs only where all of them are known wholly. */
  readonly inputs: readonly AnalyzedKind[];
  analyze(context: AnalysisContext): void;
}

export interface AnalysisContext {
  /** The objects of a kind, in the order in which they were read. */
  all(kind: AnalyzedKind): readonly AnalyzedObject[];
  find(kind: AnalyzedKind, namespace: string, name: string): AnalyzedObject | undefined;
  /** MeshConfig over Istio's defaults, as far as analyzers ask. */
  readonly meshConfig: Fields;
  /** `networks` of MeshNetworks, by name, and the object that messages about them name. */
  readonly meshNetworks: { readonly networks: Fields; readonly about: AnalyzedObject };
  /** When the analysis runs, in ms since the epoch: certificates end. */
  readonly nowMs: number;
  /** `path`: the scalar whose line is named; where it is not written, the object's line is. */
  report(code: MessageCode, about: AnalyzedObject, message: string, path?: string): void;
}
