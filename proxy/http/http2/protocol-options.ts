/** `envoy.config.core.v3.Http2ProtocolOptions` → how the codec speaks; both sides read it in the same way. */
import type { Http2ProtocolOptions, KeepaliveSettings } from "#protos/gen/envoy/config/core/v3/protocol_pb.js";
import type { MessageReader } from "#protos/reader.ts";
import { durationMs } from "../../config-values.ts";
import { defaultAbuseLimits, type AbuseLimits, type KeepaliveOptions, type SessionOptions } from "./options.ts";

export interface Http2ProtocolSettings extends Pick<
  SessionOptions,
  "maxConcurrentStreams" | "initialStreamWindowBytes" | "initialConnectionWindowBytes" | "headerTableBytes"
> {
  /** Of requests that come in; means nothing upstream. */
  readonly allowConnect: boolean;
  /** undefined: nothing is said. */
  readonly streamErrorOnInvalidMessage: boolean | undefined;
  readonly usesHuffman: boolean;
  readonly limits: AbuseLimits;
  readonly keepalive: KeepaliveOptions | undefined;
}

/** Envoy's. */
export const defaultHttp2ProtocolSettings: Http2ProtocolSettings = {
  maxConcurrentStreams: 1024,
  initialStreamWindowBytes: 16 * 1024 * 1024,
  initialConnectionWindowBytes: 24 * 1024 * 1024,
  headerTableBytes: 4096,
  allowConnect: false,
  streamErrorOnInvalidMessage: undefined,
  usesHuffman: true,
  limits: defaultAbuseLimits,
  keepalive: undefined,
};

/** Problems, and what is not supported, are on the reader's list. */
export function parseHttp2ProtocolOptions(
  reader: MessageReader<Http2ProtocolOptions> | undefined,
): Http2ProtocolSettings {
  const defaults = defaultHttp2ProtocolSettings;
  if (reader === undefined) return defaults;
  const deprecated = reader.get("streamErrorOnInvalidHttpMessaging");
  const settings: Http2ProtocolSettings = {
    maxConcurrentStreams: reader.get("maxConcurrentStreams") ?? defaults.maxConcurrentStreams,
    initialStreamWindowBytes: reader.get("initialStreamWindowSize") ?? defaults.initialStreamWindowBytes,
    initialConnectionWindowBytes: reader.get("initialConnectionWindowSize") ?? defaults.initialConnectionWindowBytes,
    headerTableBytes: reader.get("hpackTableSize") ?? defaults.headerTableBytes,
    allowConnect: reader.get("allowConnect"),
    streamErrorOnInvalidMessage:
      reader.get("overrideStreamErrorOnInvalidHttpMessage") ?? (deprecated ? true : undefined),
    usesHuffman: reader.get("enableHuffmanEncoding") ?? true,
    limits: parseLimits(reader),
    keepalive: parseKeepalive(reader.child("connectionKeepalive")),
  };
  reader.ignore("useOghttp2Codec", "names a codec of Envoy's; this proxy has its own");
  reader.finish();
  return settings;
}

function parseLimits(reader: MessageReader<Http2ProtocolOptions>): AbuseLimits {
  const defaults = defaultAbuseLimits;
  return {
    ...defaults,
    maxOutboundFrames: reader.get("maxOutboundFrames") ?? defaults.maxOutboundFrames,
    maxOutboundControlFrames: reader.get("maxOutboundControlFrames") ?? defaults.maxOutboundControlFrames,
    maxConsecutiveEmptyFrames:
      reader.get("maxConsecutiveInboundFramesWithEmptyPayload") ?? defaults.maxConsecutiveEmptyFrames,
    maxPriorityFramesPerStream: reader.get("maxInboundPriorityFramesPerStream") ?? defaults.maxPriorityFramesPerStream,
    maxWindowUpdateFramesPerData:
      reader.get("maxInboundWindowUpdateFramesPerDataFrameSent") ?? defaults.maxWindowUpdateFramesPerData,
  };
}

function parseKeepalive(reader: MessageReader<KeepaliveSettings> | undefined): KeepaliveOptions | undefined {
  if (reader === undefined) return undefined;
  const keepalive: KeepaliveOptions = {
    intervalMs: durationMs(reader.get("interval")) ?? 0,
    timeoutMs: durationMs(reader.get("timeout")) ?? 0,
    intervalJitter: reader.get("intervalJitter")?.value ?? 15,
    idleIntervalMs: durationMs(reader.get("connectionIdleInterval")) ?? 0,
  };
  if (keepalive.timeoutMs <= 0)
    reader.invalid("timeout", "a keepalive needs a timeout after which a ping counts as unanswered");
  reader.finish();
  return keepalive;
}
