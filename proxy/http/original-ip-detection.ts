/** `original_ip_detection_extensions`: who the client is, by something else than the connection. */
import { unpackAny } from "#protos/any.ts";
import { MessageReader } from "#protos/reader.ts";
import type { TypedExtensionConfig } from "#protos/gen/envoy/config/core/v3/extension_pb.js";
import type { CustomHeaderConfig } from "#protos/gen/envoy/extensions/http/original_ip_detection/custom_header/v3/custom_header_pb.js";
import type { XffConfig } from "#protos/gen/envoy/extensions/http/original_ip_detection/xff/v3/xff_pb.js";
import { addressFromXff } from "./address-from-xff.ts";
import { parseIp } from "./cidr.ts";
import type { HeaderMap } from "./header-map.ts";

export interface DetectedClient {
  readonly address: string;
  /** An internal address makes the request internal. */
  readonly mayBeInternal: boolean;
}

/** A client, nothing (the next one is asked), or the status to refuse the request with. */
export type OriginalIpDetection = (headers: HeaderMap) => DetectedClient | number | undefined;

const packages = "envoy.extensions.http.original_ip_detection";

/** Reads one; undefined when it has problems, which are on the reader's list. */
export function parseOriginalIpDetection(reader: MessageReader<TypedExtensionConfig>): OriginalIpDetection | undefined {
  const config = reader.get("typedConfig");
  const at = reader.at("typedConfig");
  reader.ignore("name", "a label; the type decides");
  reader.finish();
  const opened = config === undefined ? undefined : unpackAny(config, at);
  if (opened?.value === undefined) {
    reader.problems.push(...(opened?.problems ?? []));
    if (opened === undefined) reader.invalid("typedConfig", "an extension needs its configuration");
    return undefined;
  }
  switch (opened.value.$typeName as string) {
    case `${packages}.xff.v3.XffConfig`:
      return byForwardedFor(new MessageReader(opened.value as XffConfig, at, reader.problems));
    case `${packages}.custom_header.v3.CustomHeaderConfig`:
      return byHeader(new MessageReader(opened.value as CustomHeaderConfig, at, reader.problems));
    default:
      reader.unsupported("typedConfig", `${opened.value.$typeName} is not supported by this proxy`);
      return undefined;
  }
}

function byForwardedFor(reader: MessageReader<XffConfig>): OriginalIpDetection {
  const hops = reader.get("xffNumTrustedHops");
  reader.finish();
  return (headers) => {
    const forwardedFor = headers.getJoined("x-forwarded-for");
    const address = forwardedFor === undefined ? undefined : addressFromXff(forwardedFor, hops);
    return address === undefined ? undefined : { address, mayBeInternal: forwardedFor?.includes(",") === false };
  };
}

function byHeader(reader: MessageReader<CustomHeaderConfig>): OriginalIpDetection {
  const name = reader.get("headerName").toLowerCase();
  const mayBeInternal = reader.get("allowExtensionToSetAddressAsTrusted");
  const reject = reader.child("rejectWithStatus");
  const code = reject?.get("code") ?? 0;
  reject?.finish();
  reader.finish();
  // Anything that is no error becomes one, as in Envoy.
  const refusal = reject === undefined ? undefined : code >= 400 ? code : 403;
  return (headers) => {
    const address = headers.get(name);
    return address === undefined || parseIp(address) === undefined ? refusal : { address, mayBeInternal };
  };
}
