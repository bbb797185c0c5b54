import { describe, expect, test } from "vitest";
import type { Problem } from "#lib/problem.ts";
import { messageFromJson } from "#protos/json.ts";
import { MessageReader } from "#protos/reader.ts";
import type { TypedExtensionConfig } from "#protos/gen/envoy/config/core/v3/extension_pb.js";
import { HeaderMap } from "./header-map.ts";
import { parseOriginalIpDetection } from "./original-ip-detection.ts";

const packages = "type.googleapis.com/envoy.extensions.http.original_ip_detection";

function detection(type: string, fields: object): ReturnType<typeof parseOriginalIpDetection> {
  const problems: Problem[] = [];
  const typedConfig = { "@type": `${packages}.${type}`, ...fields };
  const message = messageFromJson("envoy.config.core.v3.TypedExtensionConfig", { name: "d", typedConfig });
  const parsed = parseOriginalIpDetection(new MessageReader(message.value as TypedExtensionConfig, "d", problems));
  expect(problems).toEqual([]);
  return parsed;
}

describe("original_ip_detection_extensions", () => {
  test("a header names the client; without it the request is refused where that is asked for", () => {
    const detect = detection("custom_header.v3.CustomHeaderConfig", {
      headerName: "X-Client",
      rejectWithStatus: { code: "Unauthorized" },
    });
    expect(detect?.(HeaderMap.of({ "x-client": "192.0.2.1" }))).toEqual({ address: "192.0.2.1", mayBeInternal: false });
    expect(detect?.(HeaderMap.of({ "x-client": "nonsense" }))).toBe(401);
    expect(detect?.(HeaderMap.of({}))).toBe(401);
  });

  test("x-forwarded-for names it, so many hops from the right", () => {
    const detect = detection("xff.v3.XffConfig", { xffNumTrustedHops: 1 });
    expect(detect?.(HeaderMap.of({ "x-forwarded-for": "192.0.2.1, 192.0.2.2" }))).toEqual({
      address: "192.0.2.1",
      mayBeInternal: false,
    });
    expect(detect?.(HeaderMap.of({ "x-forwarded-for": "192.0.2.1" }))).toBeUndefined();
  });
});
