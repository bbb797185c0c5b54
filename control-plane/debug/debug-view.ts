/** What `/debug` may look at. */
import type { Problem } from "#lib/problem.ts";
import type { MeshIndex } from "../model/mesh-index.ts";
import type { ConnectedProxy } from "../xds/ads-server.ts";
import type { EventBus } from "../xds/events.ts";

export interface DebugView {
  readonly isReady: () => boolean;
  readonly mesh: () => MeshIndex;
  readonly connections: () => readonly ConnectedProxy[];
  /** Findings of loading, validating, indexing and translating. */
  readonly problems: () => readonly Problem[];
  readonly events: EventBus;
  readonly version: string;
  readonly identifier: string;
  readonly nowMs: () => number;
}

/** A page: JSON unless it is text. */
export interface DebugAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

export function jsonAnswer(value: unknown, status = 200): DebugAnswer {
  return { status, contentType: "application/json", body: `${JSON.stringify(value, undefined, 2)}\n` };
}

export function textAnswer(body: string, status = 200): DebugAnswer {
  return { status, contentType: "text/plain; charset=utf-8", body };
}
