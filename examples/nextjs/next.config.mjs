/** @type {import('next').NextConfig} */
export default {
  output: "standalone",
  deploymentId: process.env.GITHUB_SHA, // a page of another version is loaded anew when it is left
};
