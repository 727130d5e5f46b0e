import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { packages } from "./packages.config";

export default defineConfig({
  root: "src/client",
  plugins: [react(), tailwindcss(), packages("dist/modules.json", "dist/packages.json")],
  build: {
    outDir: "../../dist/client",
    emptyOutDir: true,
    // The content security policy has no `data:` for scripts, styles or fonts.
    assetsInlineLimit: 0,
  },
  server: { proxy: { "/api": process.env.API_URL ?? "http://127.0.0.1:5000" } },
  test: {
    root: ".",
    // A machine that does much else is slow, not wrong.
    testTimeout: 30_000,
    projects: [
      { extends: true, test: { name: "server", include: ["tests/server/**/*.test.ts"], environment: "node" } },
      {
        extends: true,
        test: {
          name: "client",
          include: ["tests/client/**/*.test.{ts,tsx}"],
          environment: "jsdom",
          setupFiles: ["tests/client/setup.ts"],
        },
      },
    ],
  },
});
