"""Which view serves a path of `/api/v1`? The lean application serves `/messages/{id}/events`."""

from __future__ import annotations

from django.urls import path, re_path

from conversations.doors.rest.views import (
    config,
    conversations,
    endpoints,
    jobs,
    messages,
    model_pools,
    preprocessor,
    queues,
    resources,
    unknown,
    usage,
    users,
)

urlpatterns = [
    path("messages", messages.Messages.as_view()),
    path("messages/batch", messages.MessageBatch.as_view()),
    path("messages/<str:message_id>", messages.OneMessage.as_view()),
    path("messages/<str:message_id>/status", messages.MessageStatus.as_view()),
    path("messages/<str:message_id>/cancel", messages.CancelMessage.as_view()),
    path("messages/<str:message_id>/retry", messages.RetryMessage.as_view()),
    path("conversations", conversations.Conversations.as_view()),
    path("conversations/<str:conversation_id>", conversations.OneConversation.as_view()),
    path("conversations/<str:conversation_id>/state", conversations.ConversationState.as_view()),
    path(
        "conversations/<str:conversation_id>/messages",
        conversations.ConversationMessages.as_view(),
    ),
    path("users/<path:user_id>/conversations", users.UserConversations.as_view()),
    path("queues/status", queues.QueueStatus.as_view()),
    path("queues/stats", queues.QueueStats.as_view()),
    path("endpoints", endpoints.Endpoints.as_view()),
    path("endpoints/stats", endpoints.EndpointStats.as_view()),
    path("endpoints/<int:endpoint_id>", endpoints.OneEndpoint.as_view()),
    path("endpoints/<int:endpoint_id>/refused-fields", endpoints.RefusedFields.as_view()),
    path("resources", resources.Resources.as_view()),
    path("resources/stats", resources.ResourceStats.as_view()),
    path("usage", usage.Usage.as_view()),
    path("model-pools", model_pools.ModelPools.as_view()),
    path("model-pools/<int:pool_id>", model_pools.OneModelPool.as_view()),
    path("admin/queues/<str:priority>/<str:job_id>", jobs.QueuedJob.as_view()),
    path("admin/dead-letter/requeue/<str:job_id>", jobs.RequeueDeadLetter.as_view()),
    path("admin/dead-letter/requeue-all", jobs.RequeueDeadLetters.as_view()),
    path("admin/preprocessor/rules", preprocessor.PriorityRules.as_view()),
    path("admin/preprocessor/rules/<int:rule_id>", preprocessor.OnePriorityRule.as_view()),
    path("admin/preprocessor/user-priorities", preprocessor.UserPriorities.as_view()),
    path("config", config.EffectiveConfig.as_view()),
    re_path(r"^.*$", unknown.Unknown.as_view()),
]
