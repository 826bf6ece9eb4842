"""What stands where a framework gives each message an id; a fresh one replaces it in each message that is sent."""

MESSAGE_ID = "00000000-0000-4000-8000-000000000000"
