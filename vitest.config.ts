import { defineConfig } from "vitest/config";

/** Unit and simulation tests stand beside their files; `test/` holds what crosses rooms. */
export default defineConfig({
  test: {
    include: ["{lib,protos,certs,proxy,control-plane,cli,test,examples}/**/*.test.ts"],
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
