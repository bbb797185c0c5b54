/** Debugging over the stream itself, as istioctl asks (`istio.io/debug`, …): an answer a request, nothing is pushed. */
import type { status } from "@grpc/grpc-js";
import type { EncodedResource } from "./resource-encoder.ts";

export interface DebugRequest {
  readonly typeUrl: string;
  readonly names: readonly string[];
  /** The namespace of who has proved to ask. */
  readonly callerNamespace: string;
}

export interface DebugRefusal {
  readonly code: status;
  readonly reason: string;
}

export type DebugResource = Pick<EncodedResource, "name" | "typeUrl" | "bytes">;

/** What is answered; a refusal ends the stream. */
export type AnswerDebug = (request: DebugRequest) => readonly DebugResource[] | DebugRefusal;

export function isDebugType(typeUrl: string): boolean {
  return typeUrl === "istio.io/debug" || typeUrl.startsWith("istio.io/debug/");
}
