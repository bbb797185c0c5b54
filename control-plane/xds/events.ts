/** What happens in the control plane, told to whoever listens: the console, `/debug/events`. */
import type { Problem } from "#lib/problem.ts";

export type ControlPlaneEvent =
  /** `accepted`: nothing was refused; what was refused stays as it was. */
  | {
      readonly type: "config";
      readonly accepted: boolean;
      readonly version: string;
      readonly problems: readonly Problem[];
    }
  | { readonly type: "connected" | "disconnected"; readonly proxy: string }
  | {
      readonly type: "push";
      readonly proxy: string;
      /** `CDS`, `EDS`, `LDS`, `RDS`. */
      readonly resourceType: string;
      readonly resources: readonly string[];
      readonly removed: readonly string[];
      readonly version: string;
    }
  | { readonly type: "ack"; readonly proxy: string; readonly resourceType: string; readonly version: string }
  | {
      readonly type: "nack";
      readonly proxy: string;
      readonly resourceType: string;
      readonly version: string;
      readonly detail: string;
    };

export interface EventBus {
  emit(event: ControlPlaneEvent): void;
  /** Returns what ends the subscription. */
  subscribe(listener: (event: ControlPlaneEvent) => void): () => void;
}

export function createEventBus(): EventBus {
  const listeners = new Set<(event: ControlPlaneEvent) => void>();
  return {
    emit(event) {
      for (const listener of listeners) listener(event);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
