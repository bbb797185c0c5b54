/** extensions.istio.io TrafficExtension and WasmPlugin, the fields that translation reads. */
import type { Labels } from "../labels.ts";
import type { PolicyTargetReference } from "./authorization-policy.ts";
import type { WorkloadMode } from "./telemetry.ts";

/** What both kinds say of where and when they run. */
interface Placed {
  readonly selector?: { readonly matchLabels?: Labels };
  readonly targetRef?: PolicyTargetReference;
  readonly targetRefs?: readonly PolicyTargetReference[];
  readonly phase?: string;
  readonly priority?: number;
  readonly match?: readonly TrafficSelector[];
}

export interface TrafficSelector {
  readonly mode?: WorkloadMode | "UNDEFINED";
  readonly ports?: readonly { readonly number?: number }[];
}

export interface WasmModule {
  readonly url?: string;
  readonly sha256?: string;
  readonly imagePullPolicy?: string;
  readonly imagePullSecret?: string;
  readonly pluginConfig?: Readonly<Record<string, unknown>>;
  readonly pluginName?: string;
  readonly failStrategy?: "FAIL_CLOSE" | "FAIL_OPEN" | "FAIL_RELOAD";
  readonly vmConfig?: {
    readonly env?: readonly {
      readonly name?: string;
      readonly value?: string;
      readonly valueFrom?: "INLINE" | "HOST";
    }[];
  };
  readonly type?: "UNSPECIFIED_PLUGIN_TYPE" | "HTTP" | "NETWORK";
}

export interface TrafficExtensionSpec extends Placed {
  readonly wasm?: WasmModule;
  readonly lua?: { readonly inlineCode?: string };
}

export type WasmPluginSpec = Placed & WasmModule;
