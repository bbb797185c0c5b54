/** `/debug/events`: what happens, live. NDJSON, or server-sent events where the client asks for them. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ControlPlaneEvent } from "../xds/events.ts";
import { configEvent } from "./config-event.ts";
import type { DebugView } from "./debug-view.ts";
import { problemJson } from "./mesh-pages.ts";

/** A listener that reads nothing is dropped once this much waits for it. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;

/** Begins with the configuration as it is. Ends when the client or the control plane does. */
export function streamEvents(view: DebugView, request: IncomingMessage, response: ServerResponse): void {
  const isSse = request.headers.accept?.includes("text/event-stream") === true;
  response.writeHead(200, {
    "content-type": isSse ? "text/event-stream" : "application/x-ndjson",
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  const send = (event: ControlPlaneEvent): void => {
    const text = JSON.stringify(eventJson(event, view.nowMs()));
    response.write(isSse ? `data: ${text}\n\n` : `${text}\n`);
    if (response.writableLength > MAX_WAITING_BYTES) response.destroy();
  };
  send(configEvent(view.mesh()));
  const unsubscribe = view.events.subscribe(send);
  response.on("close", unsubscribe);
}

function eventJson(event: ControlPlaneEvent, nowMs: number): unknown {
  const time = new Date(nowMs).toISOString();
  if (event.type !== "config") return { ...event, time };
  return { ...event, problems: event.problems.map(problemJson), time };
}
