/** How many frames the peer has made us send and not yet taken, as far as the system tells (Envoy's outbound frames). */
import type { Http2Stats } from "./http2-stats.ts";

/** One write: its bytes, and the frames in it. */
interface Batch {
  readonly bytes: number;
  readonly frames: number;
  readonly controlFrames: number;
}

export class OutboundCount {
  /** Not yet taken: those in writes that are still buffered, and those not yet written. */
  frames = 0;
  controlFrames = 0;
  #written = 0;
  #writtenControl = 0;
  /** Writes that the connection still holds some of, oldest first. */
  readonly #batches: Batch[] = [];
  #bytes = 0;
  readonly #stats: Http2Stats;

  constructor(stats: Http2Stats) {
    this.#stats = stats;
  }

  /** All frames counted so far are in this write or an earlier one, `buffered` bytes of which are still held. */
  onWrite(bytes: number, buffered: number): void {
    if (buffered > 0) {
      const frames = this.frames - this.#written;
      const controlFrames = this.controlFrames - this.#writtenControl;
      this.#batches.push({ bytes, frames, controlFrames });
      this.#bytes += bytes;
      this.#change(frames, controlFrames);
      this.settle(buffered);
    } else {
      this.clear();
    }
  }

  /** Forgets the writes that have left the connection. */
  settle(buffered: number): void {
    const batches = this.#batches;
    for (let first = batches[0]; first !== undefined && this.#bytes - first.bytes >= buffered; first = batches[0]) {
      batches.shift();
      this.#bytes -= first.bytes;
      this.frames -= first.frames;
      this.controlFrames -= first.controlFrames;
      this.#change(-first.frames, -first.controlFrames);
    }
  }

  /** Everything written has been taken. */
  clear(): void {
    if (this.#batches.length > 0) {
      this.#batches.length = 0;
      this.#bytes = 0;
      this.#change(-this.#written, -this.#writtenControl);
    }
    this.frames = 0;
    this.controlFrames = 0;
  }

  #change(frames: number, controlFrames: number): void {
    this.#written += frames;
    this.#writtenControl += controlFrames;
    this.#stats.outboundFramesActive.add(frames);
    this.#stats.outboundControlFramesActive.add(controlFrames);
  }
}
