# chatrel: group chat and a follow graph inside PostgreSQL
#
#   make && make install && make installcheck [PG_CONFIG=/path/to/pg_config]
#
# The version stands in chatrel.control alone.

# Where this file is, when building outside the source tree
here := $(dir $(lastword $(MAKEFILE_LIST)))

EXTENSION = chatrel
EXTVERSION := $(shell sed -n "s/^default_version *= *'\(.*\)'/\1/p" $(here)chatrel.control)

MODULE_big = chatrel
# The rooms, in the order in which they may use each other
ROOMS = core delivery groups messages receive relationships whiteboards users
SOURCES = $(foreach room,$(ROOMS),$(sort $(wildcard $(here)src/$(room)/*.c))) $(here)src/chatrel.c
OBJS = $(patsubst $(here)%.c,%.o,$(SOURCES))
DATA = $(patsubst $(here)%,%,$(wildcard $(here)sql/chatrel--*.sql))
SHLIB_EXPORTS = src/exports.txt
PG_CPPFLAGS = -I$(here)src -DCHATREL_VERSION='"$(EXTVERSION)"'

REGRESS = install identity groups messages relationships errors limits security whiteboards link uninstall sync
REGRESS_OPTS = --inputdir=$(srcdir)/test --outputdir=.
ISOLATION = iso_delivery iso_leave_send iso_create_group iso_join iso_delete_user iso_gateway \
	iso_channel_order iso_sync iso_whiteboard iso_follow iso_follow_delete iso_follow_savepoint iso_follow_counters iso_follow_event
ISOLATION_OPTS = --inputdir=$(srcdir)/test --outputdir=. --load-extension=chatrel
TAP_TESTS = 1
PROVE_TESTS = test/t/*.pl

PG_CONFIG ?= pg_config
PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# A build outside the source tree needs the folders; a change of a header, all objects.
FOLDERS = $(foreach room,$(ROOMS),src/$(room))
$(OBJS): $(wildcard $(here)src/*/*.h) | $(FOLDERS)
$(FOLDERS):
	mkdir -p $@
