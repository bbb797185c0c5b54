/** The notation of the JSON files beside this one: what a CRD of Istio says about its `spec`. */

/** What an expression of CEL says. */
export interface CrdRule {
  /** Whether the value, which has the right type and no nulls, keeps the rule. */
  holds(value: unknown): boolean;
  /** What is wrong and the way out, as a sentence. */
  readonly message: string;
}

interface Rules {
  /** CEL expressions (`x-kubernetes-validations`), as the CRD writes them; `rules.ts` knows each. */
  readonly rules?: readonly string[];
  /** Null is a value of its own (a wrapper of protobuf that is not set). */
  readonly nullable?: boolean;
}

export interface ObjectSchema extends Rules {
  readonly type: "object";
  readonly fields: Readonly<Record<string, CrdSchema>>;
  readonly required?: readonly string[];
  /** Of each of these groups of fields at most one may be set. */
  readonly atMostOne?: readonly (readonly string[])[];
}

export interface MapSchema extends Rules {
  readonly type: "map";
  readonly values: CrdSchema;
  readonly minFields?: number;
  readonly maxFields?: number;
}

export interface ListSchema extends Rules {
  readonly type: "list";
  readonly items: CrdSchema;
  /** No two items agree in all of these fields. */
  readonly keys?: readonly string[];
  readonly minItems?: number;
  readonly maxItems?: number;
}

export interface ScalarSchema extends Rules {
  readonly type: "string" | "integer" | "number" | "boolean";
  /** Numbers are written as text, too. */
  readonly enum?: readonly string[];
  readonly format?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
}

/** Anything at all: the patch of an EnvoyFilter, the configuration of a plugin. */
export interface AnySchema extends Rules {
  readonly type: "any";
}

/** A scalar without limits is written as its type alone. */
export type CrdSchema = ScalarSchema["type"] | ObjectSchema | MapSchema | ListSchema | ScalarSchema | AnySchema;

export interface Crd {
  readonly kind: string;
  readonly group: string;
  /** Served versions; they share one schema. */
  readonly versions: readonly string[];
  /** The version that a cluster stores, and that istiod names. */
  readonly storage: string;
  readonly isSpecRequired: boolean;
  readonly spec: ObjectSchema;
}
