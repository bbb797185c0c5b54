/** What the peer has said in SETTINGS (RFC 9113 §6.5, RFC 8441 §3). */
import { ErrorCode, initialTableBytes, initialWindowBytes, maxWindowBytes, Setting } from "./frames.ts";

export interface SettingsError {
  readonly code: ErrorCode;
  readonly message: string;
}

export class PeerSettings {
  headerTableBytes: number = initialTableBytes;
  maxConcurrentStreams: number = Number.MAX_SAFE_INTEGER;
  initialWindowBytes: number = initialWindowBytes;
  allowsConnect = false;
  readonly #isFromServer: boolean;

  constructor(isFromServer: boolean) {
    this.#isFromServer = isFromServer;
  }

  /** One frame's payload, a multiple of six bytes. */
  apply(bytes: Buffer, start: number, end: number): SettingsError | undefined {
    for (let at = start; at < end; at += 6) {
      const error = this.#set(bytes.readUInt16BE(at), bytes.readUInt32BE(at + 2));
      if (error !== undefined) return error;
    }
    return undefined;
  }

  #set(setting: number, value: number): SettingsError | undefined {
    switch (setting) {
      case Setting.headerTableSize:
        this.headerTableBytes = value;
        return undefined;
      case Setting.enablePush:
        if (value > 1 || (value === 1 && this.#isFromServer)) return invalid("ENABLE_PUSH");
        return undefined;
      case Setting.maxConcurrentStreams:
        this.maxConcurrentStreams = value;
        return undefined;
      case Setting.initialWindowSize:
        if (value > maxWindowBytes)
          return { code: ErrorCode.flowControlError, message: "SETTINGS_INITIAL_WINDOW_SIZE is too large" };
        this.initialWindowBytes = value;
        return undefined;
      case Setting.maxFrameSize:
        // Larger frames than the smallest that all must take are never sent.
        return value < 16_384 || value > 16_777_215 ? invalid("MAX_FRAME_SIZE") : undefined;
      case Setting.enableConnectProtocol:
        if (value > 1 || (value === 0 && this.allowsConnect)) return invalid("ENABLE_CONNECT_PROTOCOL");
        this.allowsConnect = value === 1;
        return undefined;
      default:
        return undefined;
    }
  }
}

function invalid(name: string): SettingsError {
  return { code: ErrorCode.protocolError, message: `SETTINGS_${name} has a value that it may not have` };
}
