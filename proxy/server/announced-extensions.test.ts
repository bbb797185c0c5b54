import { expect, test } from "vitest";
import type { Node } from "#protos/gen/envoy/config/core/v3/base_pb.js";
import { createMessage } from "#protos/registry.ts";
import { withAnnouncedExtensions } from "./announced-extensions.ts";

test("node.extensions names the filters by category, and leaves the given node as it was", () => {
  const node = createMessage<Node>("envoy.config.core.v3.Node", { id: "a" });
  const announced = withAnnouncedExtensions(node, { http: [{ name: "my.http" }], network: [{ name: "my.network" }] });
  const names = announced.extensions.map(({ category, name }) => `${category} ${name}`);
  expect(names).toContain("envoy.filters.http my.http");
  expect(names).toContain("envoy.filters.network my.network");
  expect(names).toContain("envoy.access_loggers envoy.access_loggers.file");
  expect(announced.id).toBe("a");
  expect(node.extensions).toEqual([]);
});
