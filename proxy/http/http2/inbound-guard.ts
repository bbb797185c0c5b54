/** Counts frames that cost their sender nothing and us something, by Envoy's formulas. */
import type { Http2Stats } from "./http2-stats.ts";
import type { AbuseLimits } from "./options.ts";

/** Each method returns the details of the flood once there is one. */
export class InboundGuard {
  #emptyFrames = 0;
  #priorityFrames = 0;
  #windowUpdateFrames = 0;
  readonly #limits: AbuseLimits;
  readonly #stats: Http2Stats;

  constructor(limits: AbuseLimits, stats: Http2Stats) {
    this.#limits = limits;
    this.#stats = stats;
  }

  /** HEADERS, CONTINUATION or DATA: `isEmpty` when it carries nothing and ends nothing. */
  onPayload(isEmpty: boolean): string | undefined {
    if (!isEmpty) {
      this.#emptyFrames = 0;
      return undefined;
    }
    if (++this.#emptyFrames <= this.#limits.maxConsecutiveEmptyFrames) return undefined;
    this.#stats.inboundEmptyFramesFlood.inc();
    return "http2.inbound_empty_frames_flood";
  }

  /** `openedStreams`: as many as the connection ever had. */
  onPriority(openedStreams: number): string | undefined {
    if (++this.#priorityFrames <= this.#limits.maxPriorityFramesPerStream * (1 + openedStreams)) return undefined;
    this.#stats.inboundPriorityFramesFlood.inc();
    return "http2.inbound_priority_frames_flood";
  }

  onWindowUpdate(openedStreams: number, sentDataFrames: number): string | undefined {
    const { maxWindowUpdateFramesPerData } = this.#limits;
    const allowed = 5 + 2 * (openedStreams + maxWindowUpdateFramesPerData * sentDataFrames);
    if (++this.#windowUpdateFrames <= allowed) return undefined;
    this.#stats.inboundWindowUpdateFramesFlood.inc();
    return "http2.inbound_window_update_frames_flood";
  }
}
